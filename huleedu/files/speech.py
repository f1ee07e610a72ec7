"""The event that files says."""

from datetime import datetime
from uuid import UUID

from huleedu.core.enums import ContentType, ProcessingEvent, ProcessingStage
from huleedu.core.ids import derived_event_id
from huleedu.core.message import Message, event_message
from huleedu.core.messages import (
    EssayContentReady,
    StorageReference,
    StorageReferenceMetadata,
    essay_reference,
    metadata_of,
)
from huleedu.files.model import NewText

SOURCE_SERVICE = "file-service"


def essay_content_ready(
    batch_id: str, text: NewText, correlation_id: UUID | None, at: datetime
) -> Message:
    """The text of an essay is stored; A, then B, then A again are three events."""
    event = ProcessingEvent.ESSAY_CONTENT_READY
    essay = essay_reference(batch_id, text.essay_id)
    data = EssayContentReady(
        essay_id=text.essay_id,
        batch_id=batch_id,
        content_storage_reference=StorageReferenceMetadata(
            references={ContentType.ORIGINAL_ESSAY: StorageReference(storage_id=text.storage_id)}
        ),
        entity=essay,
        metadata=metadata_of(essay, event, at, ProcessingStage.COMPLETED),
        student_name=text.student_name,
        file_name=text.file_name,
    )
    return event_message(
        event,
        data,
        event_id=derived_event_id(event.value, batch_id, text.essay_id, str(text.version)),
        at=at,
        source_service=SOURCE_SERVICE,
        correlation_id=correlation_id,
    )
