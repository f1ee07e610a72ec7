"""Which topic carries which event."""

import os
import subprocess
import sys

import pytest

from huleedu.core.enums import ProcessingEvent
from huleedu.core.topics import TOPICS, dead_letter_topic, event_on, renamed, topic_name

# The contract's table, written down a second time.
CONTRACT = {
    "batch.essays.registered": ("huleedu.batch.essays.registered.v1", "batch_id"),
    "essay.content.ready": ("huleedu.file.essay.content.ready.v1", "batch_id"),
    "batch.essays.ready": ("huleedu.els.batch.essays.ready.v1", "batch_id"),
    "batch.readiness.timeout": ("huleedu.els.batch.readiness.timeout.v1", "batch_id"),
    "batch.spellcheck.initiate.command": (
        "huleedu.els.spellcheck.initiate.command.v1",
        "batch_id",
    ),
    "essay.spellcheck.requested": ("huleedu.essay.spellcheck.requested.v1", "essay_id"),
    "essay.spellcheck.result.received": ("huleedu.essay.spellcheck.completed.v1", "batch_id"),
    "batch.phase.concluded": ("huleedu.els.batch.phase.outcome.v1", "batch_id"),
    "batch.readiness.extended": ("huleedu.batch.readiness.extended.v1", "batch_id"),
    "batch.proceed.requested": ("huleedu.batch.proceed.requested.v1", "batch_id"),
    "batch.cancelled": ("huleedu.batch.cancelled.v1", "batch_id"),
    "essay.content.refused": ("huleedu.els.essay.content.refused.v1", "batch_id"),
}
WITHOUT_TOPIC = {
    "batch.pipeline.requested",
    "batch.phase.initiated",
    "batch.pipeline.progress.updated",
    "essay.phase.initiation.requested",
    "essay.lifecycle.state.updated",
    "essay.nlp.result.received",
    "essay.aifeedback.result.received",
    "essay.editor_revision.result.received",
    "essay.grammar.result.received",
    "processing.started",
    "processing.concluded",
    "processing.failed",
}


def test_topics_and_keys_are_those_of_the_contract() -> None:
    """Each mapped event has the contract's topic and key, and nothing else has one."""
    mapped = {event.value: (topic.name, topic.key) for event, topic in TOPICS.items()}

    assert mapped == CONTRACT


def test_events_are_those_of_the_contract() -> None:
    """Every event that may be said exists, with a topic or without."""
    assert {event.value for event in ProcessingEvent} == CONTRACT.keys() | WITHOUT_TOPIC


@pytest.mark.parametrize("event", list(TOPICS))
def test_a_topic_names_its_event(event: ProcessingEvent) -> None:
    """The event of an event's topic is that event."""
    assert event_on(topic_name(event)) is event


@pytest.mark.parametrize("value", sorted(WITHOUT_TOPIC))
def test_an_event_without_topic_is_refused_with_the_list_of_those_that_have_one(
    value: str,
) -> None:
    """Asking for the topic of an unmapped event names every mapped one."""
    with pytest.raises(ValueError, match="has no topic") as caught:
        topic_name(ProcessingEvent(value))

    named = str(caught.value).split(": ")[1].split(", ")

    assert named == sorted(event.name for event in TOPICS)


def test_a_foreign_topic_carries_no_event_of_ours() -> None:
    """A topic that is not ours is refused by name."""
    with pytest.raises(ValueError, match=r"huleedu\.other\.v1.*huleedu\.batch\.cancelled\.v1"):
        event_on("huleedu.other.v1")


def test_dead_letters_go_beside_their_topic() -> None:
    """The dead letters of a topic go to the same name and .dlq."""
    assert dead_letter_topic("huleedu.batch.cancelled.v1") == "huleedu.batch.cancelled.v1.dlq"


def test_a_renamed_topic_keeps_its_key_and_type() -> None:
    """Renaming changes the name and nothing else."""
    event = ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED

    topics = renamed({"KAFKA_TOPIC_ESSAY_SPELLCHECK_REQUESTED": "school.requests"})

    assert topics[event] == TOPICS[event]._replace(name="school.requests")
    assert {e: t for e, t in topics.items() if e is not event} == {
        e: t for e, t in TOPICS.items() if e is not event
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("huleedu.batch.cancelled.v1", "one name to several"),
        ("huleedu.batch.cancelled.v1.dlq", "one name to several"),
        ("", "no topic can have"),
        ("not a topic", "no topic can have"),
        ("x" * 246, "no topic can have"),  # with .dlq behind it one too long
    ],
)
def test_a_rename_that_cannot_be_is_refused(name: str, words: str) -> None:
    """Two events on one topic, and names that Kafka does not take, stop the program."""
    with pytest.raises(ValueError, match=words):
        renamed({"KAFKA_TOPIC_BATCH_PROCEED_REQUESTED": name})


@pytest.mark.parametrize("module", ["huleedu.core.topics", "huleedu.core.envelope"])
def test_the_environment_renames_a_topic_for_a_whole_process(module: str) -> None:
    """A process started with KAFKA_TOPIC_… speaks and reads under the new name only."""
    program = f"""
import {module}
from huleedu.core.enums import ProcessingEvent
from huleedu.core.envelope import decode, encode
from huleedu.core.errors import MalformedMessage
from huleedu.core.message import event_message
from huleedu.core.topics import topic_name
from tests.support.samples import sample

event = ProcessingEvent.BATCH_CANCELLED
assert topic_name(event) == "school.cancelled"
wire = encode(sample(event))
assert b'"event_type":"school.cancelled"' in wire
assert decode("school.cancelled", wire) == sample(event)
try:
    decode("huleedu.batch.cancelled.v1", wire)
except MalformedMessage:
    print("renamed")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KAFKA_TOPIC_BATCH_CANCELLED": "school.cancelled"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("renamed\n", "")
