"""What ELS logs of a fetch: what changed nothing, and what teachers want."""

from collections import Counter
from collections.abc import Collection, Sequence

from huleedu.core.enums import ProcessingEvent
from huleedu.core.logging import create_service_logger, log_event_processing
from huleedu.core.messages import EVENT_BYTES_MAX, EssayContentReady
from huleedu.core.metrics import (
    ELS_CONTENT_REFUSED,
    ELS_SKIPPED,
    ELS_TRANSITIONS_SKIPPED,
    ELS_UNSAYABLE,
)
from huleedu.core.topics import topic_name
from huleedu.els.decide import REGISTERED_OTHERWISE
from huleedu.els.model import Content, ReadinessDecision, Refusal
from huleedu.els.phases import Command
from huleedu.els.reading import correlation_id_of
from huleedu.transport.consumer import Heard

BATCH_LINES_MAX = 10
"""Batches of a fetch that have a line of their own; under load, lines cost more than the texts."""

_logger = create_service_logger("els")


def log_skipped(one: Heard, why: str) -> None:
    """Log and count a message that changes nothing."""
    ELS_TRANSITIONS_SKIPPED.labels(one.event.value).inc()
    log_event_processing(
        _logger,
        "transition_skipped",
        event_type=one.envelope.event_type,
        event_id=str(one.envelope.event_id),
        correlation_id=correlation_id_of(one),
        batch_id=one.batch_id,
        essay_id=one.essay_id,
        reason=why,
    )


def log_unsayable(event: ProcessingEvent, batch_id: str, correlation_id: str | None) -> None:
    """Log and count what cannot be said of a batch, because it is too large for one event."""
    ELS_UNSAYABLE.labels(event.value).inc()
    _logger.error(
        "batch_unsayable",
        batch_id=batch_id,
        correlation_id=correlation_id,
        event_type=topic_name(event),
        limit_bytes=EVENT_BYTES_MAX,
    )


def log_undispatched(one: Heard, command: Command, dispatched: Collection[str]) -> None:
    """Log the essays of a command that are not checked by it."""
    for essay_id in command.essay_ids:
        if essay_id not in dispatched:
            log_skipped(one, f"essay {essay_id!r} is not in a state to be checked")


def log_registrations(heard: Sequence[Heard], decisions: Sequence[ReadinessDecision]) -> None:
    """Log and count the registrations of batches that are registered already."""
    log_unchanged(heard, decisions)
    for one, decision in zip(heard, decisions, strict=True):
        if decision.skipped:
            reason = "other_ids" if decision.skipped == REGISTERED_OTHERWISE else "repeated"
            ELS_SKIPPED.labels(one.event.value, reason).inc()


def log_repeated(
    heard: Sequence[Heard], contents: Sequence[Content], decisions: Sequence[ReadinessDecision]
) -> None:
    """Log and count the texts that their essays had already; ``contents`` is what was heard."""
    repeated = {id(content) for decision in decisions for content in decision.repeated}
    if not repeated:
        return
    for one, content in zip(heard, contents, strict=True):
        if id(content) in repeated:
            log_skipped(one, "its essay has this text already")
            ELS_SKIPPED.labels(one.event.value, "repeated").inc()


def log_refused(refusal: Refusal, correlation_id: str | None) -> None:
    """Log and count a text that its batch cannot take."""
    ELS_CONTENT_REFUSED.labels(refusal.reason.value).inc()
    _logger.info(
        "content_refused",
        event_type=topic_name(ProcessingEvent.ESSAY_CONTENT_REFUSED),
        correlation_id=correlation_id,
        batch_id=refusal.batch_id,
        essay_id=refusal.essay_id,
        reason=refusal.reason.value,
    )


def log_students(contents: Sequence[Heard[EssayContentReady]], *, with_details: bool) -> None:
    """Log that names or addresses of pupils came: once a batch, without them.

    ``with_details``: once a text, with them.
    """
    named = [one for one in contents if one.data.student_name or one.data.student_email]
    if with_details:
        for one in named:
            _log_details(one)
        return
    first = {one.data.batch_id: one for one in reversed(named)}
    if len(first) > BATCH_LINES_MAX:
        _logger.info(
            "student_details_received",
            event_type=named[0].envelope.event_type,
            correlation_ids=[correlation_id_of(one) for one in first.values()],
            batch_ids=list(first),
            essays=len(named),
        )
        return
    essays = Counter(one.data.batch_id for one in named)
    for batch_id, one in reversed(first.items()):
        _logger.info(
            "student_details_received",
            event_type=one.envelope.event_type,
            correlation_id=correlation_id_of(one),
            batch_id=batch_id,
            essays=essays[batch_id],
        )


def _log_details(one: Heard[EssayContentReady]) -> None:
    log_event_processing(
        _logger,
        "student_details_received",
        event_type=one.envelope.event_type,
        event_id=str(one.envelope.event_id),
        correlation_id=correlation_id_of(one),
        batch_id=one.batch_id,
        essay_id=one.essay_id,
        student_name=one.data.student_name,
        student_email=one.data.student_email,
    )


def log_unchanged(heard: Sequence[Heard], granted: Sequence[ReadinessDecision]) -> None:
    """Log what changed nothing, each with the reason."""
    for one, decision in zip(heard, granted, strict=True):
        if decision.skipped:
            log_skipped(one, decision.skipped)
