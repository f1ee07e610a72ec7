"""What teachers want, as BOS would say it, and registrations that say how long they wait."""

from collections.abc import Sequence
from datetime import datetime

from huleedu.core.enums import ProcessingEvent
from huleedu.core.message import Header, Message
from huleedu.core.messages import (
    BatchCancelled,
    BatchEssaysRegistered,
    BatchProceedRequested,
    BatchReadinessExtended,
    batch_reference,
    metadata_of,
)
from tests.support.builders import AT, say


def waiting(batch_id: str, essay_ids: Sequence[str], seconds: str) -> Message:
    """Return the registration of a batch that waits so long for its essays."""
    event = ProcessingEvent.BATCH_ESSAYS_REGISTERED
    data = BatchEssaysRegistered(
        batch_id=batch_id,
        expected_essay_count=len(essay_ids),
        essay_ids=list(essay_ids),
        metadata=metadata_of(batch_reference(batch_id), event, AT),
    )
    return say(event, data, headers={Header.READINESS_TIMEOUT_SECONDS: seconds})


def extended(batch_id: str, deadline: datetime) -> Message:
    event = ProcessingEvent.BATCH_READINESS_EXTENDED
    metadata = metadata_of(batch_reference(batch_id), event, AT)
    return say(
        event, BatchReadinessExtended(batch_id=batch_id, deadline=deadline, metadata=metadata)
    )


def proceed(batch_id: str) -> Message:
    event = ProcessingEvent.BATCH_PROCEED_REQUESTED
    metadata = metadata_of(batch_reference(batch_id), event, AT)
    return say(event, BatchProceedRequested(batch_id=batch_id, metadata=metadata))


def cancelled(batch_id: str, reason: str | None = "registered twice") -> Message:
    event = ProcessingEvent.BATCH_CANCELLED
    metadata = metadata_of(batch_reference(batch_id), event, AT)
    data = BatchCancelled(batch_id=batch_id, cancellation_time=AT, metadata=metadata, reason=reason)
    return say(event, data)
