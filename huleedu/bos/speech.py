"""What BOS says of a batch after its registration."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from huleedu.bos.actions import Action, Cancel, Extend, Proceed, Retry
from huleedu.bos.model import Batch
from huleedu.bos.registration import SOURCE_SERVICE
from huleedu.core.enums import ProcessingEvent, ProcessingStage
from huleedu.core.ids import derived_event_id
from huleedu.core.message import Header, Message, event_message
from huleedu.core.messages import (
    BatchCancelled,
    BatchProceedRequested,
    BatchReadinessExtended,
    BatchServiceSpellcheckInitiateCommandDataV1,
    EssayProcessingInputRefV1,
    EventData,
    batch_reference,
    metadata_of,
)


def spellcheck_command(
    batch: Batch,
    essays: Sequence[EssayProcessingInputRefV1],
    at: datetime,
    cause: Message | None = None,
) -> Message:
    """Check these essays, in the batch's current attempt.  Raises ``TooLarge``."""
    event = ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND
    attempt = str(batch.attempt)
    return event_message(
        event,
        BatchServiceSpellcheckInitiateCommandDataV1(
            entity_ref=batch_reference(batch.batch_id),
            timestamp=at,
            # What a foreign sender says of a pupil is not passed on.
            essays_to_process=[replace(essay, student_name=None) for essay in essays],
            language=batch.language,
        ),
        event_id=derived_event_id(event.value, batch.batch_id, attempt),
        at=at,
        source_service=SOURCE_SERVICE,
        correlation_id=batch.correlation_id,
        cause=cause,
        headers={Header.ATTEMPT: attempt},
    )


def action_message(batch: Batch, action: Action, at: datetime) -> Message:
    """Return what is said about an action; ``batch`` is as the action left it."""
    match action:
        case Extend(deadline):
            assert batch.extended_at is not None
            return _extended(batch, deadline, batch.extended_at)
        case Proceed():
            return _proceeded(batch, at)
        case Cancel():
            return _cancelled(batch, action, at)
        case Retry(essays):
            assert essays, "a retry without essays is refused"
            return spellcheck_command(batch, essays, at)


def _extended(batch: Batch, deadline: datetime, at: datetime) -> Message:
    event = ProcessingEvent.BATCH_READINESS_EXTENDED
    data = BatchReadinessExtended(
        batch_id=batch.batch_id,
        deadline=deadline,
        metadata=metadata_of(batch_reference(batch.batch_id), event, at),
    )
    return _about(batch, event, data, at, str(batch.extensions))


def _proceeded(batch: Batch, at: datetime) -> Message:
    event = ProcessingEvent.BATCH_PROCEED_REQUESTED
    data = BatchProceedRequested(
        batch_id=batch.batch_id,
        metadata=metadata_of(batch_reference(batch.batch_id), event, at),
    )
    return _about(batch, event, data, at)


def _cancelled(batch: Batch, action: Cancel, at: datetime) -> Message:
    event = ProcessingEvent.BATCH_CANCELLED
    entity = batch_reference(batch.batch_id)
    data = BatchCancelled(
        batch_id=batch.batch_id,
        cancellation_time=at,
        metadata=metadata_of(entity, event, at, ProcessingStage.CANCELLED),
        cancelled_by=action.cancelled_by,
        reason=action.reason,
    )
    return _about(batch, event, data, at)


def _about(
    batch: Batch, event: ProcessingEvent, data: EventData, at: datetime, *which: str
) -> Message:
    return event_message(
        event,
        data,
        event_id=derived_event_id(event.value, batch.batch_id, *which),
        at=at,
        source_service=SOURCE_SERVICE,
        correlation_id=batch.correlation_id,
    )
