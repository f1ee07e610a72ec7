"""Roles over a broker lose their power together; the broker keeps what it acknowledged."""

import random
import shutil
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from tests.crash.answered import lost
from tests.crash.kafka import ROLES, start_anew
from tests.crash.said import said, topic_faults
from tests.crash.submission import EXAMPLES, Submission, Tally
from tests.crash.verdict import store_faults
from tests.power.losses import faults_of, losses
from tests.power.recording import Notes, recorded
from tests.support.deployment import Deployment
from tests.support.kafka_broker import ForeignBroker, KafkaBroker

ESSAYS = 2
CLASSES = 3
MOMENTS = 30
QUIET_SECONDS_MAX = 60.0


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_roles_that_lose_their_power_go_on_where_the_broker_stands(
    tmp_path: Path, broker: KafkaBroker | ForeignBroker
) -> None:
    """What was answered is in the stores at every moment; afterwards every event is there once."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    data, recording, prefix = tmp_path / "data", tmp_path / "recording", f"{uuid.uuid4().hex}."
    notes, tally = Notes(recording), Tally()
    environment = {"KAFKA_STATIC_MEMBERSHIP": "true", **recorded(recording, data)}
    with Deployment(data, broker.bootstrap_servers, prefix, **environment) as deployment:
        assert deployment.start("topics").wait() == 0
        del deployment.processes["topics"]
        for role in ROLES:
            deployment.start(role)
        hand_in(deployment, tmp_path, notes, 1, tally)[0].join()  # when it ends all are up
        clients = hand_in(deployment, tmp_path, notes, CLASSES, tally)
        clients[0].join(random.Random(seed).uniform(0.05, 1.0))
        for process in deployment.processes.values():
            process.kill()
        put_back_what_was_synced(recording, data, seed, tmp_path)
        for process in deployment.processes.values():
            start_anew(process)
        for client in clients:
            client.join()
        faults = quiet(data, tally)
        faults += [f"{name} ended with {code}" for name, code in deployment.stop().items() if code]
    seen = anyio.run(said, broker.bootstrap_servers, prefix)

    assert [*tally.broken, *faults, *lost(data, notes)] == []
    assert topic_faults(seen.counted, tally.batches) == []
    assert len(tally.batches) == CLASSES + 1


def hand_in(
    deployment: Deployment, directory: Path, notes: Notes, classes: int, tally: Tally
) -> Sequence[threading.Thread]:
    """Start a client for each class; each ends with its class."""
    folder = directory / "class"
    if not folder.exists():
        folder.mkdir()
        for essay in sorted((EXAMPLES / "eng5").iterdir())[:ESSAYS]:
            shutil.copy(essay, folder)

    def run(submission: Submission) -> None:
        submission.answered = notes
        submission.run()
        submission.answered = []
        tally.add(0, submission)

    address = deployment.urls.__getitem__
    submissions = [Submission(address, "ENG5", folder, uuid.uuid4().hex) for _ in range(classes)]
    clients = [threading.Thread(target=run, args=(one,)) for one in submissions]
    for client in clients:
        client.start()
    return clients


def put_back_what_was_synced(recording: Path, data: Path, seed: int, scratch: Path) -> None:
    """Replace the stores by what is left of them at the end, the least that may be.

    On the way, look at what would have been left after each answer and at other moments.
    """
    for number, loss in enumerate(losses(recording, data, seed, MOMENTS)):
        loss.put_back(scratch / str(number))
        assert faults_of(loss, scratch / str(number)) == [], f"moment {loss.moment}"
    for path in data.glob("*.db*"):
        path.unlink()
    loss.put_back(data)


def quiet(data: Path, tally: Tally) -> list[str]:
    """Return what the stores lack once nothing is missing, or after long enough."""
    deadline = time.monotonic() + QUIET_SECONDS_MAX
    while (faults := store_faults(data, tally.batches)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return list(faults)
