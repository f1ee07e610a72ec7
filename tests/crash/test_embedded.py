"""A few of the crash runs in every test run; ``make crash-embedded`` makes 50."""

import random
from pathlib import Path

import pytest

from tests.crash.embedded import UNDISTURBED, crash_runs

RUNS = 5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_9_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """Every batch ends; one event id and one effect for each thing said."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201

    tally = crash_runs(RUNS, seed, tmp_path)

    assert tally.broken == [], f"seed {seed}"
    assert len(tally.batches) == RUNS + UNDISTURBED
