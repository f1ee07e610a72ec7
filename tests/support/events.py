"""Any event at all: hypothesis strategies for the envelopes of the contract."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from huleedu.core.enums import (
    ContentType,
    EntityType,
    EssayStatus,
    Language,
    PipelineExecutionStatus,
    ProcessingEvent,
    ProcessingStage,
    RefusalReason,
)
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
)
from huleedu.core.topics import topic_name

E = ProcessingEvent

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
texts = st.lists(text, max_size=4)
moments = st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 1))  # noqa: DTZ001
counts = st.integers(0, 2**31 - 1)
entities = st.builds(
    EntityReference,
    entity_id=text,
    entity_type=st.sampled_from(EntityType),
    parent_id=st.none() | text,
)
metadata = st.builds(
    SystemProcessingMetadata,
    entity=entities,
    timestamp=moments,
    processing_stage=st.none() | st.sampled_from(ProcessingStage),
    started_at=st.none() | moments,
    completed_at=st.none() | moments,
    event=st.none() | text,
    error_info=st.dictionaries(text, st.none() | st.booleans() | st.integers(0, 9) | text),
)
references = st.lists(
    st.builds(
        EssayProcessingInputRefV1,
        essay_id=text,
        text_storage_id=text,
        student_name=st.none() | text,
    ),
    max_size=3,
)
stored = st.builds(
    StorageReferenceMetadata,
    references=st.dictionaries(
        st.sampled_from(ContentType),
        st.builds(StorageReference, storage_id=text, path=text),
        max_size=3,
    ),
)
_spoken: dict[str, Any] = {"entity_ref": entities, "timestamp": moments}
_about: dict[str, Any] = {"batch_id": text, "metadata": metadata}

DATA: dict[ProcessingEvent, st.SearchStrategy[EventData]] = {
    E.BATCH_ESSAYS_REGISTERED: st.builds(
        BatchEssaysRegistered,
        **_about,
        expected_essay_count=st.integers(1, 2**31 - 1),
        essay_ids=st.lists(text, min_size=1, max_size=4),
    ),
    E.ESSAY_CONTENT_READY: st.builds(
        EssayContentReady,
        **_about,
        essay_id=text,
        content_storage_reference=stored,
        entity=entities,
        student_name=st.none() | text,
        student_email=st.none() | text,
        file_name=st.none() | text,
    ),
    E.BATCH_ESSAYS_READY: st.builds(
        BatchEssaysReady,
        **_about,
        ready_essay_ids=texts,
        total_count=counts,
        batch_entity=entities,
        ready_essays=st.none() | references,
    ),
    E.BATCH_READINESS_TIMEOUT: st.builds(
        BatchReadinessTimeout,
        **_about,
        ready_essay_ids=texts,
        missing_essay_ids=texts,
        expected_count=counts,
        actual_count=counts,
        timeout_duration_seconds=st.floats(0, 1e9),
        ready_essays=st.none() | references,
    ),
    E.BATCH_SPELLCHECK_INITIATE_COMMAND: st.builds(
        BatchServiceSpellcheckInitiateCommandDataV1,
        **_spoken,
        essays_to_process=references,
        language=st.sampled_from(Language),
    ),
    E.ESSAY_SPELLCHECK_REQUESTED: st.builds(
        EssayLifecycleSpellcheckRequestV1,
        **_spoken,
        system_metadata=metadata,
        text_storage_id=text,
        language=st.sampled_from(Language),
    ),
    E.ESSAY_SPELLCHECK_RESULT_RECEIVED: st.builds(
        SpellcheckResultDataV1,
        **_spoken,
        status=st.sampled_from([EssayStatus.SPELLCHECKED_SUCCESS, EssayStatus.SPELLCHECK_FAILED]),
        system_metadata=metadata,
        original_text_storage_id=text,
        storage_metadata=st.none() | stored,
        corrections_made=st.none() | counts,
    ),
    E.BATCH_PHASE_CONCLUDED: st.builds(
        ELSBatchPhaseOutcomeV1,
        **_spoken,
        phase_status=st.sampled_from(PipelineExecutionStatus),
        processed_essays=references,
        failed_essay_ids=texts,
        system_metadata=metadata,
        phase=text,
    ),
    E.BATCH_READINESS_EXTENDED: st.builds(BatchReadinessExtended, **_about, deadline=moments),
    E.BATCH_PROCEED_REQUESTED: st.builds(BatchProceedRequested, **_about),
    E.BATCH_CANCELLED: st.builds(
        BatchCancelled,
        **_about,
        cancellation_time=moments,
        cancelled_by=st.none() | text,
        reason=st.none() | text,
    ),
    E.ESSAY_CONTENT_REFUSED: st.builds(
        EssayContentRefused,
        **_about,
        essay_id=text,
        storage_id=text,
        reason=st.sampled_from(RefusalReason),
    ),
}


def envelopes(event: ProcessingEvent) -> st.SearchStrategy[EventEnvelope[EventData]]:
    return st.builds(
        EventEnvelope,
        event_id=st.uuids(),
        event_type=st.just(topic_name(event)),
        event_timestamp=moments,
        source_service=text,
        correlation_id=st.none() | st.uuids(),
        data_schema_uri=st.none() | text,
        data=DATA[event],
    )
