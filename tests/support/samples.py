"""One envelope of each event, with every field filled: what the golden files pin."""

from datetime import UTC, datetime
from uuid import UUID

from huleedu.core.enums import (
    ContentType,
    Language,
    PipelineExecutionStatus,
    ProcessingEvent,
    ProcessingStage,
    RefusalReason,
)
from huleedu.core.enums import EssayStatus as Status
from huleedu.core.envelope import EventEnvelope
from huleedu.core.messages import (
    BatchCancelled,
    BatchEssaysReady,
    BatchEssaysRegistered,
    BatchProceedRequested,
    BatchReadinessExtended,
    BatchReadinessTimeout,
    BatchServiceSpellcheckInitiateCommandDataV1,
    ELSBatchPhaseOutcomeV1,
    EntityReference,
    EssayContentReady,
    EssayContentRefused,
    EssayLifecycleSpellcheckRequestV1,
    EssayProcessingInputRefV1,
    EventData,
    SpellcheckResultDataV1,
    StorageReference,
    StorageReferenceMetadata,
    SystemProcessingMetadata,
    batch_reference,
    essay_reference,
)
from huleedu.core.topics import topic_name

AT = datetime(2026, 1, 12, 8, 0, 0, 123456, tzinfo=UTC)
LATER = datetime(2026, 1, 13, 8, 0, tzinfo=UTC)
BATCH_ID = "b4f0c1de-0000-4000-8000-000000000001"
TEXT, CORRECTED, LOG = "0" * 31 + "a", "0" * 31 + "b", "0" * 31 + "c"
BATCH = batch_reference(BATCH_ID)
ESSAY = essay_reference(BATCH_ID, "essay-1")
REFERENCES = [
    EssayProcessingInputRefV1(essay_id="essay-1", text_storage_id=TEXT),
    EssayProcessingInputRefV1(essay_id="essay-2", text_storage_id=TEXT),
]


def _metadata(
    event: ProcessingEvent,
    entity: EntityReference = BATCH,
    stage: ProcessingStage | None = None,
) -> SystemProcessingMetadata:
    return SystemProcessingMetadata(
        entity=entity, timestamp=AT, processing_stage=stage, event=event.value
    )


def _stored(**texts: str) -> StorageReferenceMetadata:
    return StorageReferenceMetadata(
        references={
            ContentType(kind): StorageReference(storage_id=text, path=f"/v1/content/{text}")
            for kind, text in texts.items()
        }
    )


DATA: dict[ProcessingEvent, EventData] = {
    ProcessingEvent.BATCH_ESSAYS_REGISTERED: BatchEssaysRegistered(
        batch_id=BATCH_ID,
        expected_essay_count=2,
        essay_ids=["essay-1", "essay-2"],
        metadata=_metadata(ProcessingEvent.BATCH_ESSAYS_REGISTERED),
    ),
    ProcessingEvent.ESSAY_CONTENT_READY: EssayContentReady(
        essay_id="essay-1",
        batch_id=BATCH_ID,
        content_storage_reference=_stored(original_essay=TEXT),
        entity=ESSAY,
        metadata=_metadata(ProcessingEvent.ESSAY_CONTENT_READY, ESSAY),
        student_name="Åsa Öberg",
        student_email="asa@example.se",
        file_name="Åsa Öberg – uppsats.docx",
    ),
    ProcessingEvent.BATCH_ESSAYS_READY: BatchEssaysReady(
        batch_id=BATCH_ID,
        ready_essay_ids=["essay-1", "essay-2"],
        total_count=2,
        batch_entity=BATCH,
        metadata=_metadata(ProcessingEvent.BATCH_ESSAYS_READY),
        ready_essays=REFERENCES,
    ),
    ProcessingEvent.BATCH_READINESS_TIMEOUT: BatchReadinessTimeout(
        batch_id=BATCH_ID,
        ready_essay_ids=["essay-1"],
        missing_essay_ids=["essay-2"],
        expected_count=2,
        actual_count=1,
        timeout_duration_seconds=86400.0,
        metadata=_metadata(ProcessingEvent.BATCH_READINESS_TIMEOUT),
        ready_essays=REFERENCES[:1],
    ),
    ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND: (
        BatchServiceSpellcheckInitiateCommandDataV1(
            entity_ref=BATCH,
            timestamp=AT,
            essays_to_process=REFERENCES,
            language=Language.SWEDISH,
        )
    ),
    ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED: EssayLifecycleSpellcheckRequestV1(
        entity_ref=ESSAY,
        timestamp=AT,
        system_metadata=_metadata(
            ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED, ESSAY, ProcessingStage.PENDING
        ),
        text_storage_id=TEXT,
        language=Language.ENGLISH,
    ),
    ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED: SpellcheckResultDataV1(
        entity_ref=ESSAY,
        timestamp=AT,
        status=Status.SPELLCHECKED_SUCCESS,
        system_metadata=SystemProcessingMetadata(
            entity=ESSAY,
            timestamp=AT,
            processing_stage=ProcessingStage.COMPLETED,
            started_at=AT,
            completed_at=AT,
            event=ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED.value,
            error_info={"error_code": "SPELLCHECK_SERVICE_ERROR", "attempts": 2},
        ),
        original_text_storage_id=TEXT,
        storage_metadata=_stored(corrected_text=CORRECTED, processing_log=LOG),
        corrections_made=7,
    ),
    ProcessingEvent.BATCH_PHASE_CONCLUDED: ELSBatchPhaseOutcomeV1(
        entity_ref=BATCH,
        timestamp=AT,
        phase_status=PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS,
        processed_essays=REFERENCES[:1],
        failed_essay_ids=["essay-2"],
        system_metadata=_metadata(ProcessingEvent.BATCH_PHASE_CONCLUDED),
    ),
    ProcessingEvent.BATCH_READINESS_EXTENDED: BatchReadinessExtended(
        batch_id=BATCH_ID,
        deadline=LATER,
        metadata=_metadata(ProcessingEvent.BATCH_READINESS_EXTENDED),
    ),
    ProcessingEvent.BATCH_PROCEED_REQUESTED: BatchProceedRequested(
        batch_id=BATCH_ID, metadata=_metadata(ProcessingEvent.BATCH_PROCEED_REQUESTED)
    ),
    ProcessingEvent.BATCH_CANCELLED: BatchCancelled(
        batch_id=BATCH_ID,
        cancellation_time=AT,
        metadata=_metadata(ProcessingEvent.BATCH_CANCELLED),
        cancelled_by="teacher-7",
        reason="registered twice",
    ),
    ProcessingEvent.ESSAY_CONTENT_REFUSED: EssayContentRefused(
        batch_id=BATCH_ID,
        essay_id="essay-1",
        storage_id=TEXT,
        reason=RefusalReason.BATCH_READY,
        metadata=_metadata(ProcessingEvent.ESSAY_CONTENT_REFUSED, ESSAY),
    ),
}


def sample(event: ProcessingEvent) -> EventEnvelope[EventData]:
    return EventEnvelope(
        event_id=UUID("5a3f1c52-6f7d-5d0b-8f0e-3a5d8a3b7a11"),
        event_type=topic_name(event),
        event_timestamp=AT,
        source_service="batch-service",
        correlation_id=UUID("c0ffee00-1234-4abc-8def-000000000042"),
        data_schema_uri=f"urn:huleedu:event:{event.value}:v1",
        data=DATA[event],
    )
