"""Said means on disk: whatever was answered is there when the power comes back."""

import random
from pathlib import Path

import pytest

from tests.power.losses import Loss, faults_after_restart, faults_of, losses
from tests.power.recording import Recording

MOMENTS = 60
RESTARTS = 3


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Two lives of the program, with classes, actions and texts that it takes."""
    recording = Recording(tmp_path_factory.mktemp("power"))
    recording.make()
    return recording


@pytest.fixture
def seed() -> int:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    return seed


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_was_answered_survives_a_loss_of_power(
    recording: Recording, seed: int, tmp_path: Path
) -> None:
    """Right after each answer and at any moment: all stores open, and hold what was answered."""
    seen, answers = 0, 0
    for number, loss in enumerate(losses(recording.path, recording.root, seed, MOMENTS)):
        loss.put_back(tmp_path / str(number))
        faults = faults_of(loss, tmp_path / str(number) / "data")
        assert faults == [], f"moment {loss.moment}"
        seen, answers = number + 1, len(loss.answered)

    assert answers >= 14
    assert seen == 2 * answers + MOMENTS + 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_after_a_loss_of_power_every_batch_ends(
    recording: Recording, seed: int, tmp_path: Path
) -> None:
    """Started again on what is left, the program goes on; its clients hand in the rest."""
    all_of_them = losses(recording.path, recording.root, seed, MOMENTS)
    every = [loss for loss in all_of_them if loss.answered]
    chosen: list[Loss] = random.Random(seed).sample(every, RESTARTS)
    for number, loss in enumerate(chosen):
        loss.put_back(tmp_path / str(number))
        log = tmp_path / f"{number}.log"

        faults = faults_after_restart(recording, loss, tmp_path / str(number) / "data", log)

        assert faults == [], f"moment {loss.moment}"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("planted", ["synchronous-normal", "synchronous-off"])
def test_a_store_that_does_not_wait_for_the_disk_is_caught(
    planted: str, seed: int, tmp_path: Path
) -> None:
    """Planted: answers are given before anything is synced."""
    careless = Recording(tmp_path / "careless", planted)
    careless.make()

    faults: list[str] = []
    for number, loss in enumerate(losses(careless.path, careless.root, seed, 0)):
        loss.put_back(tmp_path / str(number))
        faults += faults_of(loss, tmp_path / str(number) / "data")

    assert [fault for fault in faults if "registered was answered and is lost" in fault] != []
    assert [fault for fault in faults if "uploaded was answered and is lost" in fault] != []
