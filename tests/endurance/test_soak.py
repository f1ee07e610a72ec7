"""A quarter of a minute of it in every test run; ``make soak`` goes on for an hour."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.endurance.soak import growth, soak
from tests.endurance.vitals import MEBIBYTE, Sample, slope_per_hour


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_under_mixed_load_and_blows_nothing_is_lost(tmp_path: Path) -> None:
    """Teachers, watchers and blunders at once, while the program is killed, stopped and paused."""
    seed = random.SystemRandom().randrange(2**32)

    assert soak(tmp_path, 15, seed, (1.0, 3.0)).faults == [], f"seed {seed}"


def test_a_slope_is_told_an_hour() -> None:
    """What grows by one a second grows by 3,600 an hour; what stays does not grow."""
    growing = [(float(second), 5.0 + second) for second in range(500)]

    assert slope_per_hour(growing) == pytest.approx(3_600)
    assert slope_per_hour([(second, 1.0) for second, _ in growing]) == 0
    assert slope_per_hour(growing[:1]) == 0


@given(st.lists(st.integers(0, 59), max_size=15, unique=True), st.floats(-1e3, 1e3))
def test_a_few_points_that_lie_anywhere_do_not_turn_the_line(wild: list[int], where: float) -> None:
    """A quarter of them may be as wrong as they like."""
    points = [(float(x), where if x in wild else 0.001 * x) for x in range(60)]

    assert slope_per_hour(points) == pytest.approx(3.6)


def test_a_leak_is_told_from_chance() -> None:
    """In half an hour of a memory that comes and goes, 10 MiB an hour show, and none do not."""
    chance = random.Random(1)
    still = [watched(second, chance.gauss(100, 2)) for second in range(1_800)]
    leaking = [
        watched(second, sample.memory / MEBIBYTE + second / 360)
        for second, sample in enumerate(still)
    ]

    assert growth(still) == []
    assert [fault.split(" by ")[0] for fault in growth(leaking)] == ["memory grows"]


def watched(second: float, mebibytes: float) -> Sample:
    return Sample(second, round(mebibytes * MEBIBYTE), 0, 50)
