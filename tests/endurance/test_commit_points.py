"""A few of the commit points in every test run; ``make endurance`` kills at each of them."""

import random
from pathlib import Path

import pytest

from tests.endurance.commit_points import check_points

SAMPLE = 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_process_killed_at_a_commit_point_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """After a restart every row of every store is what an undisturbed run leaves."""
    seed = random.SystemRandom().randrange(2**32)

    finding = check_points(tmp_path, lambda every: random.Random(seed).sample(every, SAMPLE))

    assert finding.faults == [], f"seed {seed}"
    assert finding.seen.startswith(f"killed at {SAMPLE} of {SAMPLE} points"), finding.seen
