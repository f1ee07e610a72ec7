"""What ELS logs of a fetch: what changed nothing, and what teachers want."""

from collections.abc import Collection, Sequence

from huleedu.core.enums import ProcessingEvent
from huleedu.core.logging import create_service_logger, log_event_processing
from huleedu.core.messages import EVENT_BYTES_MAX, EssayContentReady
from huleedu.core.metrics import ELS_TRANSITIONS_SKIPPED, ELS_UNSAYABLE
from huleedu.core.topics import topic_name
from huleedu.els.model import ReadinessDecision
from huleedu.els.phases import Command
from huleedu.els.reading import correlation_id_of
from huleedu.transport.consumer import Heard

_logger = create_service_logger("els")


def log_skipped(one: Heard, why: str) -> None:
    """Log and count a message that the state does not allow to count."""
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


def log_students(contents: Sequence[Heard]) -> None:
    """Log whose texts came: only where the settings ask for it."""
    for one in contents:
        data = one.data
        assert isinstance(data, EssayContentReady)
        _logger.info(
            "student_details_received",
            batch_id=data.batch_id,
            essay_id=data.essay_id,
            student_name=data.student_name,
            student_email=data.student_email,
        )


def log_wishes(heard: Sequence[Heard], granted: Sequence[ReadinessDecision]) -> None:
    """Log the wishes that changed nothing, each with the reason."""
    for one, decision in zip(heard, granted, strict=True):
        if decision.skipped:
            log_skipped(one, decision.skipped)
