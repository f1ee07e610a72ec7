"""Each disturbance once in every test run; ``make endurance`` restarts twenty times."""

import random
from pathlib import Path

import pytest

from tests.endurance.deadlines import check_deadlines


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_each_deadline_passes_exactly_once(tmp_path: Path) -> None:
    """Over a restart, a pause of the process, and a wall clock that jumps forth and back."""
    seed = random.SystemRandom().randrange(2**32)

    assert check_deadlines(tmp_path, 1, 1, seed).faults == [], f"seed {seed}"
