"""Events as other modules would say them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from huleedu.core.enums import ContentType, EssayStatus, Language, ProcessingEvent
from huleedu.core.envelope import decode
from huleedu.core.message import Header, Message, event_message
from huleedu.core.messages import (
    BatchEssaysRegistered,
    BatchServiceSpellcheckInitiateCommandDataV1,
    EssayContentReady,
    EssayProcessingInputRefV1,
    EventData,
    SpellcheckResultDataV1,
    StorageReference,
    StorageReferenceMetadata,
    batch_reference,
    essay_reference,
    metadata_of,
)
from huleedu.core.topics import event_on
from huleedu.transport.consumer import Heard

AT = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
CORRELATION = UUID("5a1d5a44-3c0b-4f3e-9d2f-2f8a8a1d0c11")


def say(
    event: ProcessingEvent,
    data: EventData,
    *,
    attempt: int | None = None,
    event_id: UUID | None = None,
    headers: Mapping[str, str] | None = None,
) -> Message:
    attempts = {} if attempt is None else {str(Header.ATTEMPT): str(attempt)}
    return event_message(
        event,
        data,
        event_id=event_id or uuid4(),
        at=AT,
        source_service="test",
        correlation_id=CORRELATION,
        headers={**attempts, **(headers or {})},
    )


def hear(message: Message) -> Heard:
    return Heard(event_on(message.topic), decode(message.topic, message.value), message)


def registered(batch_id: str, essay_ids: Sequence[str]) -> Message:
    event = ProcessingEvent.BATCH_ESSAYS_REGISTERED
    data = BatchEssaysRegistered(
        batch_id=batch_id,
        expected_essay_count=len(essay_ids),
        essay_ids=list(essay_ids),
        metadata=metadata_of(batch_reference(batch_id), event, AT),
    )
    return say(event, data)


def content_ready(
    batch_id: str, essay_id: str, storage_id: str, student_name: str | None = None
) -> Message:
    event = ProcessingEvent.ESSAY_CONTENT_READY
    essay = essay_reference(batch_id, essay_id)
    data = EssayContentReady(
        essay_id=essay_id,
        batch_id=batch_id,
        content_storage_reference=StorageReferenceMetadata(
            references={ContentType.ORIGINAL_ESSAY: StorageReference(storage_id=storage_id)}
        ),
        entity=essay,
        metadata=metadata_of(essay, event, AT),
        student_name=student_name,
        file_name=f"{essay_id}.txt",
    )
    return say(event, data)


def spellcheck_command(batch_id: str, texts: Mapping[str, str], attempt: int | None = 1) -> Message:
    event = ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND
    data = BatchServiceSpellcheckInitiateCommandDataV1(
        entity_ref=batch_reference(batch_id),
        timestamp=AT,
        essays_to_process=[
            EssayProcessingInputRefV1(essay_id=essay_id, text_storage_id=storage_id)
            for essay_id, storage_id in texts.items()
        ],
        language=Language.ENGLISH,
    )
    return say(event, data, attempt=attempt)


def spellcheck_result(
    batch_id: str, essay_id: str, *, success: bool = True, attempt: int | None = 1
) -> Message:
    event = ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED
    essay = essay_reference(batch_id, essay_id)
    status = EssayStatus.SPELLCHECKED_SUCCESS if success else EssayStatus.SPELLCHECK_FAILED
    stored = StorageReferenceMetadata(
        references={
            ContentType.CORRECTED_TEXT: StorageReference(storage_id=f"corrected-{essay_id}"[:64]),
            ContentType.PROCESSING_LOG: StorageReference(storage_id=f"log-{essay_id}"[:64]),
        }
    )
    error = {} if success else {"code": "SPELLCHECK_SERVICE_ERROR", "message": "the checker died"}
    data = SpellcheckResultDataV1(
        entity_ref=essay,
        timestamp=AT,
        status=status,
        system_metadata=metadata_of(essay, event, AT, error_info=error),
        original_text_storage_id=f"text-{essay_id}"[:64],
        storage_metadata=stored if success else None,
        corrections_made=2 if success else None,
    )
    return say(event, data, attempt=attempt)
