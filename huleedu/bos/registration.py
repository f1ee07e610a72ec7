"""A new batch: its first state, and what is said about it."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from huleedu.bos.api_models import BatchRegistrationRequestV1
from huleedu.bos.languages import infer_language_from_course_code
from huleedu.bos.model import Batch
from huleedu.core.enums import BatchStatus, ContentType, Language, ProcessingEvent
from huleedu.core.ids import StorageId, derived_event_id
from huleedu.core.message import Header, Message, event_message
from huleedu.core.messages import (
    BatchEssaysRegistered,
    EssayContentReady,
    StorageReference,
    StorageReferenceMetadata,
    batch_reference,
    essay_reference,
    metadata_of,
)
from huleedu.core.pipeline_state import ProcessingPipelineState

SOURCE_SERVICE = "batch-service"


def new_batch(
    batch_id: str,
    correlation_id: UUID,
    registration: BatchRegistrationRequestV1,
    courses: Mapping[str, Language],
    at: datetime,
) -> Batch:
    """Return a batch as it is registered, no pipeline requested yet.

    Its language is settled now, so that a later edit of the table strands nothing under way.
    Raises ``UnknownCourse``.
    """
    return Batch(
        batch_id=batch_id,
        correlation_id=correlation_id,
        language=infer_language_from_course_code(registration.course_code, courses),
        essay_count=len(registration.essay_ids),
        status=BatchStatus.AWAITING_CONTENT_VALIDATION,
        attempt=1,
        pipelines=ProcessingPipelineState(batch_id=batch_id, last_updated=at),
    )


def registered_message(
    batch: Batch, registration: BatchRegistrationRequestV1, at: datetime
) -> Message:
    """Return ``BatchEssaysRegistered``: the essay ids, and nothing of what the teacher wrote.

    A deadline of the batch's own is said in a header.  Raises ``TooLarge``.
    """
    event = ProcessingEvent.BATCH_ESSAYS_REGISTERED
    seconds = registration.readiness_timeout_seconds
    return event_message(
        event,
        BatchEssaysRegistered(
            batch_id=batch.batch_id,
            expected_essay_count=registration.expected_essay_count,
            essay_ids=registration.essay_ids,
            metadata=metadata_of(batch_reference(batch.batch_id), event, at),
        ),
        event_id=derived_event_id(event.value, batch.batch_id),
        at=at,
        source_service=SOURCE_SERVICE,
        correlation_id=batch.correlation_id,
        headers={} if seconds is None else {Header.READINESS_TIMEOUT_SECONDS: f"{seconds:.15g}"},
    )


def content_ready_message(
    batch: Batch, essay_id: str, storage_id: StorageId, at: datetime
) -> Message:
    """Return ``EssayContentReady`` for a text that BOS stored itself."""
    event = ProcessingEvent.ESSAY_CONTENT_READY
    essay = essay_reference(batch.batch_id, essay_id)
    original = StorageReference(storage_id=storage_id)
    return event_message(
        event,
        EssayContentReady(
            essay_id=essay_id,
            batch_id=batch.batch_id,
            content_storage_reference=StorageReferenceMetadata(
                references={ContentType.ORIGINAL_ESSAY: original}
            ),
            entity=essay,
            metadata=metadata_of(essay, event, at),
        ),
        event_id=derived_event_id(event.value, batch.batch_id, essay_id, storage_id),
        at=at,
        source_service=SOURCE_SERVICE,
        correlation_id=batch.correlation_id,
    )
