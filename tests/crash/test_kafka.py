"""A few of the crash runs over a broker in every test run; ``make crash`` makes 200."""

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from huleedu.core.enums import ProcessingEvent
from huleedu.core.topics import TOPICS, dead_letter_topic
from tests.crash.kafka import UNDISTURBED, crash_runs
from tests.crash.said import ONE_A_BATCH, READY, topic_faults
from tests.support.kafka_broker import ForeignBroker, KafkaBroker

RUNS = 10


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_9_of_any_role_loses_nothing_and_repeats_nothing(
    tmp_path: Path, broker: KafkaBroker | ForeignBroker
) -> None:
    """Every batch ends well, with one BatchEssaysReady, one command and one outcome."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201

    tally = crash_runs(RUNS, seed, broker.bootstrap_servers, tmp_path)

    assert tally.broken == [], f"seed {seed}"
    assert tally.second_ready == 0, f"seed {seed}"
    assert tally.kills == RUNS
    assert tally.kills_on_unfinished_work > 0, f"seed {seed}"
    assert len(tally.batches) == RUNS + UNDISTURBED


def topics_seen(*batches: str) -> Mapping[str, Counter[str]]:
    """One record of each kind for each of these."""
    letters = {dead_letter_topic(topic.name): Counter[str]() for topic in TOPICS.values()}
    return {**letters, **{TOPICS[event].name: Counter(batches) for event in ONE_A_BATCH}}


def test_one_of_each_kind_for_each_batch_is_what_must_be_seen() -> None:
    """Nothing is wrong with it."""
    assert topic_faults(topics_seen("a", "b"), {"a": 1, "b": 2}) == []


@pytest.mark.parametrize("event", ONE_A_BATCH)
@pytest.mark.parametrize("count", [0, 2])
def test_none_or_two_of_a_kind_are_a_fault(event: ProcessingEvent, count: int) -> None:
    """It names the batch, how many there are, and the topic."""
    topic = TOPICS[event].name
    seen = topics_seen("a", "b")
    seen[topic]["b"] = count

    assert topic_faults(seen, {"a": 1, "b": 2}) == [f"batch b: {count} records on {topic}"]


def test_a_batch_that_no_client_knows_is_a_fault() -> None:
    """A registration that was repeated would have made a second one."""
    faults = topic_faults(topics_seen("a", "b"), {"a": 1})

    assert len(faults) == len(ONE_A_BATCH)
    assert all("batch b" in fault and "no client knows" in fault for fault in faults)


def test_a_dead_letter_is_a_fault() -> None:
    """All that was sent was valid."""
    seen = topics_seen("a")
    seen[dead_letter_topic(TOPICS[READY].name)]["a"] = 1

    (fault,) = topic_faults(seen, {"a": 1})

    assert fault.startswith("1 dead letters on")
