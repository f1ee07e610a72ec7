"""A stop in the midst of work in every test run; ``make endurance`` makes twenty."""

import random
from pathlib import Path

import pytest

from tests.endurance.clean_stop import check_stops


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_stop_in_the_midst_of_work_ends_well_and_repeats_nothing(tmp_path: Path) -> None:
    """SIGTERM ends fifty open streams and the process; what was finished does not come again."""
    seed = random.SystemRandom().randrange(2**32)

    assert check_stops(tmp_path, 1, seed).faults == [], f"seed {seed}"
