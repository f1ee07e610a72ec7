"""A few of the crash runs over a broker in every test run; ``make crash`` makes 200."""

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from huleedu.core.enums import ProcessingEvent
from huleedu.core.topics import TOPICS, dead_letter_topic
from tests.crash.kafka import UNDISTURBED, crash_runs
from tests.crash.observed import EFFECTS, TABLE, repeated
from tests.crash.said import ONE_A_BATCH, ONE_AN_ESSAY, READY, Said, topic_faults
from tests.support.kafka_broker import ForeignBroker, KafkaBroker

RUNS = 10


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_9_of_any_role_loses_nothing_and_repeats_nothing(
    tmp_path: Path, broker: KafkaBroker | ForeignBroker
) -> None:
    """Every batch ends well; each event is read once, and what was answered is in the stores."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201

    tally = crash_runs(RUNS, seed, broker.bootstrap_servers, tmp_path)

    assert tally.broken == [], f"seed {seed}"
    assert tally.second_ready == 0, f"seed {seed}"
    assert tally.kills == RUNS
    assert tally.kills_on_unfinished_work > 0, f"seed {seed}"
    assert len(tally.batches) == RUNS + UNDISTURBED


def topics_seen(**essays: int) -> Mapping[str, Counter[str]]:
    """What must be said of these batches, each with so many essays."""
    letters = {dead_letter_topic(topic.name): Counter[str]() for topic in TOPICS.values()}
    once = {TOPICS[event].name: Counter(list(essays)) for event in ONE_A_BATCH}
    return {**letters, **once, **{TOPICS[event].name: Counter(essays) for event in ONE_AN_ESSAY}}


def test_one_of_each_kind_for_each_batch_is_what_must_be_seen() -> None:
    """Nothing is wrong with it."""
    assert topic_faults(topics_seen(a=1, b=2), {"a": 1, "b": 2}) == []


@pytest.mark.parametrize("event", [*ONE_A_BATCH, *ONE_AN_ESSAY])
@pytest.mark.parametrize("count", [0, 3])
def test_none_or_too_many_of_a_kind_are_a_fault(event: ProcessingEvent, count: int) -> None:
    """It names the batch, how many there are, and the topic."""
    topic = TOPICS[event].name
    seen = topics_seen(a=1, b=2)
    seen[topic]["b"] = count

    assert topic_faults(seen, {"a": 1, "b": 2}) == [f"batch b: {count} records on {topic}"]


def test_a_batch_that_no_client_knows_is_a_fault() -> None:
    """A registration that was repeated would have made a second one."""
    faults = topic_faults(topics_seen(a=1, b=2), {"a": 1})

    assert len(faults) == len(ONE_A_BATCH) + len(ONE_AN_ESSAY)
    assert all("batch b" in fault and "no client knows" in fault for fault in faults)


def test_a_dead_letter_is_a_fault() -> None:
    """All that was sent was valid."""
    seen = topics_seen(a=1)
    seen[dead_letter_topic(TOPICS[READY].name)]["a"] = 1

    (fault,) = topic_faults(seen, {"a": 1})

    assert fault.startswith("1 dead letters on")


RESULTS = TOPICS[ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED].name


def result(event_id: str) -> SimpleNamespace:
    """A record about the essay ``e`` of the batch ``a``."""
    data = {"entity_ref": {"entity_id": "e", "entity_type": "essay", "parent_id": "a"}}
    value = json.dumps({"event_id": event_id, "data": data}).encode()
    return SimpleNamespace(value=value, key=b"a")


def test_a_result_published_again_counts_once_and_another_one_twice() -> None:
    """The checker may publish one again under its event id; a second event is a fault."""
    again, another = Said({RESULTS: Counter()}), Said({RESULTS: Counter()})
    for event_id in ("1", "1"):
        again.take(RESULTS, result(event_id))
    for event_id in ("1", "2"):
        another.take(RESULTS, result(event_id))

    assert (again.counted[RESULTS], again.results) == (Counter(a=1), Counter({("a", "e"): 2}))
    assert another.counted[RESULTS] == Counter(a=2)


@pytest.mark.parametrize(
    "effect",
    [
        ["first_result", "a", 1, "e"],
        ["progress_event", "a", "essay.spellcheck.result.received", 1, "e", ""],
    ],
)
def test_as_many_effects_of_a_result_are_right_as_it_was_published(
    effect: list[object], tmp_path: Path
) -> None:
    """One more is a fault, and so is any repeat of another essay's."""
    for store in EFFECTS:
        with closing(sqlite3.connect(tmp_path / f"{store}.db")) as connection, connection:
            connection.execute(f"CREATE TABLE {TABLE} (effect TEXT)")
            rows = [(json.dumps(effect),)] * 2
            connection.executemany(f"INSERT INTO {TABLE} VALUES (?)", rows)

    assert repeated(tmp_path, {("a", "e"): 2}) == []
    for published in ({}, {("a", "e"): 1}, {("a", "f"): 2}, {("b", "e"): 2}):
        assert len(repeated(tmp_path, published)) == len(EFFECTS)
