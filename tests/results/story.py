"""The events of a batch, as its story tells them; times follow the order in which they are made."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from huleedu.core.enums import (
    ContentType,
    EssayStatus,
    Language,
    PipelineExecutionStatus,
    RefusalReason,
)
from huleedu.core.enums import ProcessingEvent as P
from huleedu.core.ids import derived_event_id
from huleedu.core.message import Header, Message, event_message
from huleedu.core.messages import (
    BatchCancelled,
    BatchEssaysReady,
    BatchEssaysRegistered,
    BatchProceedRequested,
    BatchReadinessExtended,
    BatchReadinessTimeout,
    ELSBatchPhaseOutcomeV1,
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
    metadata_of,
)

CORRELATION_ID = UUID("7d3f3b52-7b0f-4c2e-9d5e-0c8e2f6a1b11")
START = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)


class Story:
    """Makes the messages of one batch, each a second after the last."""

    def __init__(self, batch_id: str = "batch-1", essay_ids: Sequence[str] = ("a", "b")) -> None:
        self.batch_id = batch_id
        self.essay_ids = list(essay_ids)
        self.now = START

    def registered(self) -> Message:
        data = BatchEssaysRegistered(
            batch_id=self.batch_id,
            expected_essay_count=len(self.essay_ids),
            essay_ids=self.essay_ids,
            metadata=self._metadata(P.BATCH_ESSAYS_REGISTERED),
        )
        return self._message(P.BATCH_ESSAYS_REGISTERED, data)

    def content(
        self,
        essay_id: str,
        storage_id: str | None = None,
        student_name: str | None = None,
        file_name: str | None = None,
    ) -> Message:
        storage_id = storage_id or f"text-{essay_id}"
        data = EssayContentReady(
            essay_id=essay_id,
            batch_id=self.batch_id,
            content_storage_reference=StorageReferenceMetadata(
                references={ContentType.ORIGINAL_ESSAY: StorageReference(storage_id=storage_id)}
            ),
            entity=essay_reference(self.batch_id, essay_id),
            metadata=self._metadata(P.ESSAY_CONTENT_READY),
            student_name=student_name,
            file_name=file_name,
        )
        return self._message(P.ESSAY_CONTENT_READY, data, essay_id, storage_id)

    def refused(self, essay_id: str, storage_id: str, reason: RefusalReason) -> Message:
        data = EssayContentRefused(
            batch_id=self.batch_id,
            essay_id=essay_id,
            storage_id=storage_id,
            reason=reason,
            metadata=self._metadata(P.ESSAY_CONTENT_REFUSED),
        )
        return self._message(P.ESSAY_CONTENT_REFUSED, data, essay_id, storage_id)

    def ready(self, essay_ids: Sequence[str] | None = None) -> Message:
        essay_ids = self.essay_ids if essay_ids is None else list(essay_ids)
        data = BatchEssaysReady(
            batch_id=self.batch_id,
            ready_essay_ids=essay_ids,
            total_count=len(essay_ids),
            batch_entity=batch_reference(self.batch_id),
            metadata=self._metadata(P.BATCH_ESSAYS_READY),
            ready_essays=[
                EssayProcessingInputRefV1(essay_id=essay_id, text_storage_id=f"text-{essay_id}")
                for essay_id in essay_ids
            ],
        )
        return self._message(P.BATCH_ESSAYS_READY, data)

    def timed_out(self, missing: Sequence[str]) -> Message:
        data = BatchReadinessTimeout(
            batch_id=self.batch_id,
            ready_essay_ids=[],
            missing_essay_ids=list(missing),
            expected_count=len(self.essay_ids),
            actual_count=len(self.essay_ids) - len(missing),
            timeout_duration_seconds=(self.now - START).total_seconds(),
            metadata=self._metadata(P.BATCH_READINESS_TIMEOUT),
        )
        return self._message(P.BATCH_READINESS_TIMEOUT, data, str(self.now))

    def extended(self, deadline: datetime) -> Message:
        data = BatchReadinessExtended(
            batch_id=self.batch_id,
            deadline=deadline,
            metadata=self._metadata(P.BATCH_READINESS_EXTENDED),
        )
        return self._message(P.BATCH_READINESS_EXTENDED, data, str(deadline), str(self.now))

    def proceeded(self) -> Message:
        data = BatchProceedRequested(
            batch_id=self.batch_id, metadata=self._metadata(P.BATCH_PROCEED_REQUESTED)
        )
        return self._message(P.BATCH_PROCEED_REQUESTED, data)

    def cancelled(self, reason: str | None = None, cancelled_by: str | None = None) -> Message:
        data = BatchCancelled(
            batch_id=self.batch_id,
            cancellation_time=self.now,
            metadata=self._metadata(P.BATCH_CANCELLED),
            reason=reason,
            cancelled_by=cancelled_by,
        )
        return self._message(P.BATCH_CANCELLED, data)

    def requested(self, essay_id: str, attempt: int = 1) -> Message:
        data = EssayLifecycleSpellcheckRequestV1(
            entity_ref=essay_reference(self.batch_id, essay_id),
            timestamp=self.now,
            system_metadata=self._metadata(P.ESSAY_SPELLCHECK_REQUESTED),
            text_storage_id=f"text-{essay_id}",
            language=Language.ENGLISH,
        )
        return self._message(P.ESSAY_SPELLCHECK_REQUESTED, data, essay_id, attempt=attempt)

    def checked(
        self,
        essay_id: str,
        attempt: int | None = 1,
        *,
        corrections: int = 3,
        corrected: str | None = None,
        log: str | None = None,
    ) -> Message:
        references = {
            ContentType.CORRECTED_TEXT: corrected or f"corrected-{essay_id}-{attempt}",
            ContentType.PROCESSING_LOG: log or f"log-{essay_id}-{attempt}",
        }
        storage = StorageReferenceMetadata(
            references={
                kind: StorageReference(storage_id=name) for kind, name in references.items()
            }
        )
        return self._result(
            essay_id, attempt, EssayStatus.SPELLCHECKED_SUCCESS, {}, storage, corrections
        )

    def failed(
        self,
        essay_id: str,
        attempt: int | None = 1,
        *,
        message: str | None = None,
        error_info: dict[str, object] | None = None,
    ) -> Message:
        told: dict[str, object] = {"message": message} if message else error_info or {}
        return self._result(essay_id, attempt, EssayStatus.SPELLCHECK_FAILED, told, None, None)

    def concluded(self, failed: Sequence[str] = (), attempt: int = 1) -> Message:
        processed = [essay_id for essay_id in self.essay_ids if essay_id not in failed]
        if not failed:
            status = PipelineExecutionStatus.COMPLETED_SUCCESSFULLY
        elif processed:
            status = PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS
        else:
            status = PipelineExecutionStatus.FAILED
        data = ELSBatchPhaseOutcomeV1(
            entity_ref=batch_reference(self.batch_id),
            timestamp=self.now,
            phase_status=status,
            processed_essays=[
                EssayProcessingInputRefV1(essay_id=one, text_storage_id=f"corrected-{one}-1")
                for one in processed
            ],
            failed_essay_ids=list(failed),
            system_metadata=self._metadata(P.BATCH_PHASE_CONCLUDED),
        )
        return self._message(P.BATCH_PHASE_CONCLUDED, data, attempt=attempt)

    def without_failures(self) -> list[Message]:
        """From registration to outcome, every essay checked."""
        return [
            self.registered(),
            *(self.content(one, file_name=f"{one}.txt") for one in self.essay_ids),
            self.ready(),
            *(self.requested(one) for one in self.essay_ids),
            *(self.checked(one) for one in self.essay_ids),
            self.concluded(),
        ]

    def _result(
        self,
        essay_id: str,
        attempt: int | None,
        status: EssayStatus,
        error_info: dict[str, object],
        storage: StorageReferenceMetadata | None,
        corrections: int | None,
    ) -> Message:
        essay = essay_reference(self.batch_id, essay_id)
        data = SpellcheckResultDataV1(
            entity_ref=essay,
            timestamp=self.now,
            status=status,
            system_metadata=metadata_of(
                essay, P.ESSAY_SPELLCHECK_RESULT_RECEIVED, self.now, error_info=error_info
            ),
            original_text_storage_id=f"text-{essay_id}",
            storage_metadata=storage,
            corrections_made=corrections,
        )
        return self._message(
            P.ESSAY_SPELLCHECK_RESULT_RECEIVED, data, essay_id, status.value, attempt=attempt
        )

    def _metadata(self, event: P) -> SystemProcessingMetadata:
        return metadata_of(batch_reference(self.batch_id), event, self.now)

    def _message(
        self, event: P, data: EventData, *cause: str, attempt: int | None = None
    ) -> Message:
        message = event_message(
            event,
            data,
            event_id=derived_event_id(event.value, self.batch_id, *cause, str(attempt)),
            at=self.now,
            source_service="a-test",
            correlation_id=CORRELATION_ID,
            headers=None if attempt is None else {Header.ATTEMPT: str(attempt)},
        )
        self.now += timedelta(seconds=1)
        return message
