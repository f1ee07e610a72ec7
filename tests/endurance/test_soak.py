"""A quarter of a minute of it in every test run; ``make soak`` goes on for an hour."""

import random
from pathlib import Path

import pytest

from tests.endurance.soak import soak
from tests.endurance.vitals import slope_per_hour


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_under_mixed_load_and_blows_nothing_is_lost(tmp_path: Path) -> None:
    """Teachers, watchers and blunders at once, while the program is killed, stopped and paused."""
    seed = random.SystemRandom().randrange(2**32)

    assert soak(tmp_path, 15, seed, (1.0, 3.0)).faults == [], f"seed {seed}"


def test_a_slope_is_told_an_hour() -> None:
    """What grows by one a second grows by 3,600 an hour; what stays does not grow."""
    growing = [(float(second), 5.0 + second) for second in range(10)]

    assert slope_per_hour(growing) == pytest.approx(3_600)
    assert slope_per_hour([(second, 1.0) for second, _ in growing]) == 0
