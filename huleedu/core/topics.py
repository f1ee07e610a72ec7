"""Which topic carries which event: the only place that knows these strings.

A whole deployment may rename a topic by ``KAFKA_TOPIC_<PROCESSING_EVENT_NAME>`` in the environment
of every one of its processes; it is read once, when the program starts.
"""

import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from huleedu.core.enums import ProcessingEvent
from huleedu.core.messages import (
    BatchCancelled,
    BatchEssaysReady,
    BatchEssaysRegistered,
    BatchProceedRequested,
    BatchReadinessExtended,
    BatchReadinessTimeout,
    BatchServiceSpellcheckInitiateCommandDataV1,
    ELSBatchPhaseOutcomeV1,
    EssayContentReady,
    EssayContentRefused,
    EssayLifecycleSpellcheckRequestV1,
    EventData,
    SpellcheckResultDataV1,
)

DEAD_LETTER_SUFFIX = ".dlq"
_LEGAL_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")  # what Kafka takes as a topic's name


class Topic(NamedTuple):
    """A topic's name, the type of the data in its envelopes, and the field that is its key."""

    name: str
    data_type: type[EventData]
    key: str = "batch_id"


_BY_CONTRACT: dict[ProcessingEvent, Topic] = {
    ProcessingEvent.BATCH_ESSAYS_REGISTERED: Topic(
        "huleedu.batch.essays.registered.v1", BatchEssaysRegistered
    ),
    ProcessingEvent.ESSAY_CONTENT_READY: Topic(
        "huleedu.file.essay.content.ready.v1", EssayContentReady
    ),
    ProcessingEvent.BATCH_ESSAYS_READY: Topic(
        "huleedu.els.batch.essays.ready.v1", BatchEssaysReady
    ),
    ProcessingEvent.BATCH_READINESS_TIMEOUT: Topic(
        "huleedu.els.batch.readiness.timeout.v1", BatchReadinessTimeout
    ),
    ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND: Topic(
        "huleedu.els.spellcheck.initiate.command.v1", BatchServiceSpellcheckInitiateCommandDataV1
    ),
    ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED: Topic(
        "huleedu.essay.spellcheck.requested.v1", EssayLifecycleSpellcheckRequestV1, "essay_id"
    ),
    ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED: Topic(
        "huleedu.essay.spellcheck.completed.v1", SpellcheckResultDataV1
    ),
    ProcessingEvent.BATCH_PHASE_CONCLUDED: Topic(
        "huleedu.els.batch.phase.outcome.v1", ELSBatchPhaseOutcomeV1
    ),
    ProcessingEvent.BATCH_READINESS_EXTENDED: Topic(
        "huleedu.batch.readiness.extended.v1", BatchReadinessExtended
    ),
    ProcessingEvent.BATCH_PROCEED_REQUESTED: Topic(
        "huleedu.batch.proceed.requested.v1", BatchProceedRequested
    ),
    ProcessingEvent.BATCH_CANCELLED: Topic("huleedu.batch.cancelled.v1", BatchCancelled),
    ProcessingEvent.ESSAY_CONTENT_REFUSED: Topic(
        "huleedu.els.essay.content.refused.v1", EssayContentRefused
    ),
}


def dead_letter_topic(topic: str) -> str:
    """Return where the dead letters of a topic go."""
    return topic + DEAD_LETTER_SUFFIX


def renamed(environment: Mapping[str, str]) -> dict[ProcessingEvent, Topic]:
    """Return the topics of a deployment.

    Raises ``ValueError`` for a name that Kafka does not take, and when two would share one.
    """
    topics = {
        event: topic._replace(name=environment.get(f"KAFKA_TOPIC_{event.name}", topic.name))
        for event, topic in _BY_CONTRACT.items()
    }
    names = [
        name for topic in topics.values() for name in (topic.name, dead_letter_topic(topic.name))
    ]
    illegal = sorted(name for name in names if not _LEGAL_NAME.fullmatch(name))
    if illegal:
        raise ValueError(f"KAFKA_TOPIC_… gives a name that no topic can have: {illegal[0]!r}")
    shared = sorted({name for name in names if names.count(name) > 1})
    if shared:
        raise ValueError(f"KAFKA_TOPIC_… gives one name to several topics: {', '.join(shared)}")
    return topics


TOPICS: Mapping[ProcessingEvent, Topic] = MappingProxyType(renamed(os.environ))
_EVENTS: Mapping[str, ProcessingEvent] = {topic.name: event for event, topic in TOPICS.items()}
_BY_TYPE: Mapping[type[msgspec.Struct], ProcessingEvent] = {
    topic.data_type: event for event, topic in TOPICS.items()
}


def topic_name(event: ProcessingEvent) -> str:
    """Return the topic of an event.  Raises ``ValueError`` listing the mapped events if none."""
    try:
        return TOPICS[event].name
    except KeyError:
        mapped = ", ".join(sorted(known.name for known in TOPICS))
        raise ValueError(f"{event.name} has no topic; these have one: {mapped}") from None


def event_of(data_type: type[msgspec.Struct]) -> ProcessingEvent:
    """Return the event whose data has this type."""
    return _BY_TYPE[data_type]


def event_on(topic: str) -> ProcessingEvent:
    """Return what a topic carries.  Raises ``ValueError`` for a topic that is not ours."""
    try:
        return _EVENTS[topic]
    except KeyError:
        raise ValueError(f"{topic!r} is none of our topics: {', '.join(_EVENTS)}") from None
