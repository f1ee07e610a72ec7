"""Any event at all: hypothesis strategies for the envelopes of the contract."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from huleedu.core.enums import (
    ContentType,
    EntityType,
    EssayStatus,
    Language,
    ProcessingEvent,
    ProcessingStage,
    RefusalReason,
)
from huleedu.core.envelope import EventEnvelope
from huleedu.core.messages import (
    PHASE_ENDS,
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
    ids_of,
)
from huleedu.core.topics import topic_name

E = ProcessingEvent

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
id_lists = st.lists(ids, max_size=4, unique=True)
storage_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
moments = st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 1))  # noqa: DTZ001
counts = st.integers(0, 2**31 - 1)
entities = st.builds(
    EntityReference,
    entity_id=ids,
    entity_type=st.sampled_from(EntityType),
    parent_id=st.none() | ids,
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
        essay_id=ids,
        text_storage_id=storage_ids,
        student_name=st.none() | text,
    ),
    max_size=3,
    unique_by=lambda essay: essay.essay_id,
)
stored = st.builds(
    StorageReferenceMetadata,
    references=st.dictionaries(
        st.sampled_from(ContentType),
        st.builds(StorageReference, storage_id=storage_ids, path=text),
        max_size=3,
    ),
)


def stored_with(kind: ContentType) -> st.SearchStrategy[StorageReferenceMetadata]:
    reference = st.builds(StorageReference, storage_id=storage_ids, path=text)
    return st.tuples(stored, reference).map(
        lambda two: StorageReferenceMetadata(references={**two[0].references, kind: two[1]})
    )


@st.composite
def registrations(draw: st.DrawFn) -> BatchEssaysRegistered:
    letters = st.text("abcXYZ019._:-", min_size=1, max_size=20)
    essay_ids = draw(st.lists(letters, min_size=1, max_size=4, unique=True))
    return BatchEssaysRegistered(
        batch_id=draw(ids),
        metadata=draw(metadata),
        expected_essay_count=len(essay_ids),
        essay_ids=essay_ids,
    )


@st.composite
def readinesses(draw: st.DrawFn) -> BatchEssaysReady:
    essays = draw(references)
    return BatchEssaysReady(
        batch_id=draw(ids),
        metadata=draw(metadata),
        ready_essay_ids=draw(st.permutations(ids_of(essays))),
        total_count=draw(counts),
        batch_entity=draw(entities),
        ready_essays=draw(st.sampled_from([None, essays])),
    )


@st.composite
def timeouts(draw: st.DrawFn) -> BatchReadinessTimeout:
    essays = draw(references)
    ready = ids_of(essays)
    return BatchReadinessTimeout(
        batch_id=draw(ids),
        metadata=draw(metadata),
        ready_essay_ids=ready,
        missing_essay_ids=[one for one in draw(id_lists) if one not in ready],
        expected_count=draw(counts),
        actual_count=draw(counts),
        timeout_duration_seconds=draw(st.floats(0, 1e9)),
        ready_essays=draw(st.sampled_from([None, essays])),
    )


@st.composite
def results(draw: st.DrawFn) -> SpellcheckResultDataV1:
    is_success = draw(st.booleans())
    return SpellcheckResultDataV1(
        entity_ref=draw(entities),
        timestamp=draw(moments),
        status=EssayStatus.SPELLCHECKED_SUCCESS if is_success else EssayStatus.SPELLCHECK_FAILED,
        system_metadata=draw(metadata),
        original_text_storage_id=draw(storage_ids),
        storage_metadata=draw(
            stored_with(ContentType.CORRECTED_TEXT) if is_success else st.none() | stored
        ),
        corrections_made=draw(st.none() | counts),
    )


@st.composite
def outcomes(draw: st.DrawFn) -> ELSBatchPhaseOutcomeV1:
    essays = draw(references)
    return ELSBatchPhaseOutcomeV1(
        entity_ref=draw(entities),
        timestamp=draw(moments),
        phase_status=draw(st.sampled_from(sorted(PHASE_ENDS))),
        processed_essays=essays,
        failed_essay_ids=[one for one in draw(id_lists) if one not in ids_of(essays)],
        system_metadata=draw(metadata),
    )


_spoken: dict[str, Any] = {"entity_ref": entities, "timestamp": moments}
_about: dict[str, Any] = {"batch_id": ids, "metadata": metadata}

DATA: dict[ProcessingEvent, st.SearchStrategy[EventData]] = {
    E.BATCH_ESSAYS_REGISTERED: registrations(),
    E.ESSAY_CONTENT_READY: st.builds(
        EssayContentReady,
        **_about,
        essay_id=ids,
        content_storage_reference=stored_with(ContentType.ORIGINAL_ESSAY),
        entity=entities,
        student_name=st.none() | text,
        student_email=st.none() | text,
        file_name=st.none() | text,
    ),
    E.BATCH_ESSAYS_READY: readinesses(),
    E.BATCH_READINESS_TIMEOUT: timeouts(),
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
        text_storage_id=storage_ids,
        language=st.sampled_from(Language),
    ),
    E.ESSAY_SPELLCHECK_RESULT_RECEIVED: results(),
    E.BATCH_PHASE_CONCLUDED: outcomes(),
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
        essay_id=ids,
        storage_id=storage_ids,
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
