"""A program that repeats effects or forgets what it answered is caught by each of these checks."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash import embedded, kafka
from tests.endurance.clean_stop import check_stops
from tests.endurance.commit_points import check_points
from tests.endurance.points import Point
from tests.endurance.soak import soak
from tests.support.kafka_broker import ForeignBroker, KafkaBroker

pytestmark = pytest.mark.slow
RUNS_MAX = 12
REPEATS = "dedupe-removed"
FORGETS = "answered-before-written"
SEEN: dict[str, str] = {REPEATS: "took effect 2 times", FORGETS: "answered before: registered"}
"""What is wrong → how the verdict names it."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", SEEN)
def test_crash_runs_catch_it(bug: str, tmp_path: Path) -> None:
    """Within a dozen kills."""
    tally = embedded.crash_runs(RUNS_MAX, random.SystemRandom().randrange(2**32), tmp_path, bug)

    assert [fault for fault in tally.broken if SEEN[bug] in fault] != [], tally.broken


def a_handled_message(every: list[Point]) -> list[Point]:
    """Results has handled a message, and nobody knows it yet."""
    return [point for point in every if point.name.startswith("after handler of results")][:1]


def an_answered_registration(every: list[Point]) -> list[Point]:
    """It is written now; what came before was the attempt by which it was answered."""
    return [point for point in every if point.name == "before a commit of bos"][1:2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("bug", "choose", "seen"),
    [
        (REPEATS, a_handled_message, "too much 1×: results.observed"),
        (FORGETS, an_answered_registration, "answered before: registered"),
    ],
)
def test_a_commit_point_catches_it(
    bug: str, choose: Callable[[list[Point]], list[Point]], seen: str, tmp_path: Path
) -> None:
    """A kill at one of them is enough."""
    finding = check_points(tmp_path, choose, bug)

    assert [fault for fault in finding.faults if seen in fault] != [], finding


@pytest.mark.timeout(400)
def test_the_soak_catches_an_answer_before_the_write(tmp_path: Path) -> None:
    """Under mixed load and blows; a quarter of a minute has too few kills to find repeats."""
    finding = soak(tmp_path, 15, random.SystemRandom().randrange(2**32), (1.0, 3.0), FORGETS)

    assert [fault for fault in finding.faults if SEEN[FORGETS] in fault] != [], finding


@pytest.mark.timeout(300)
def test_finished_work_that_comes_again_is_seen(tmp_path: Path) -> None:
    """Though every module recognises it: it was finished, and is delivered after a stop."""
    finding = check_stops(tmp_path, 1, planted="marks-forgotten")

    assert [fault for fault in finding.faults if "was finished, and came again" in fault] != []


@pytest.mark.kafka
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("bug", "role"), [(REPEATS, "results"), (FORGETS, "bos")])
def test_crash_runs_over_a_broker_catch_it(
    bug: str, role: str, tmp_path: Path, broker: KafkaBroker | ForeignBroker
) -> None:
    """Where the role is killed that repeats or forgets."""
    seed = random.SystemRandom().randrange(2**32)
    tally = kafka.crash_runs(3, seed, broker.bootstrap_servers, tmp_path, [role], bug)

    assert [fault for fault in tally.broken if SEEN[bug] in fault] != [], tally.broken
