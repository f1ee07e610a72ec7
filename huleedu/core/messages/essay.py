"""What the Essay Lifecycle Service says."""

from typing import Literal

from huleedu.core.enums import (
    EssayStatus,
    Language,
    PipelineExecutionStatus,
    ProcessingEvent,
    RefusalReason,
)
from huleedu.core.messages.references import (
    Count,
    EntityId,
    EntityReference,
    EssayProcessingInputRefV1,
    Moment,
    Part,
    StorageKey,
    SystemProcessingMetadata,
    TimedPart,
    ids_of,
    names_twice,
)

SPELLCHECK_PHASE: Literal["spellcheck"] = "spellcheck"
PHASE_ENDS = frozenset(
    {
        PipelineExecutionStatus.COMPLETED_SUCCESSFULLY,
        PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS,
        PipelineExecutionStatus.FAILED,
    }
)
"""What an outcome may say of its phase."""


class BatchEssaysReady(Part, frozen=True, kw_only=True):
    """Every essay of the batch has its text.  To BOS, results; key batch_id; once per batch.

    ``ready_essays`` is absent from a foreign sender: then the references are asked for.
    """

    batch_id: EntityId
    ready_essay_ids: list[EntityId]
    total_count: Count
    batch_entity: EntityReference
    metadata: SystemProcessingMetadata
    ready_essays: list[EssayProcessingInputRefV1] | None = None
    event: str = ProcessingEvent.BATCH_ESSAYS_READY.value

    def __post_init__(self) -> None:
        if names_twice(self.ready_essay_ids):
            raise ValueError(f"the readiness of batch {self.batch_id!r} names an essay twice")
        _check_essays(self)


class BatchReadinessTimeout(Part, frozen=True, kw_only=True):
    """Essays are missing at the deadline.  To BOS, results; key batch_id; closes nothing."""

    batch_id: EntityId
    ready_essay_ids: list[EntityId]
    missing_essay_ids: list[EntityId]
    expected_count: Count
    actual_count: Count
    timeout_duration_seconds: float
    metadata: SystemProcessingMetadata
    ready_essays: list[EssayProcessingInputRefV1] | None = None
    event: str = ProcessingEvent.BATCH_READINESS_TIMEOUT.value

    def __post_init__(self) -> None:
        if names_twice([*self.ready_essay_ids, *self.missing_essay_ids]):
            raise ValueError(f"the timeout of batch {self.batch_id!r} names an essay twice")
        _check_essays(self)


def _check_essays(said: BatchEssaysReady | BatchReadinessTimeout) -> None:
    """Raise ``ValueError`` where the essays with texts are other ones than those that are ready."""
    if said.ready_essays is None:
        return
    if sorted(ids_of(said.ready_essays)) != sorted(said.ready_essay_ids):
        raise ValueError(
            f"batch {said.batch_id!r} names other essays in ready_essays than in ready_essay_ids"
        )


class EssayContentRefused(Part, frozen=True, kw_only=True):
    """A text came that the batch cannot take.  To files, results; key batch_id."""

    batch_id: EntityId
    essay_id: EntityId
    storage_id: StorageKey
    reason: RefusalReason
    metadata: SystemProcessingMetadata
    event: str = ProcessingEvent.ESSAY_CONTENT_REFUSED.value


class EssayLifecycleSpellcheckRequestV1(TimedPart, frozen=True, kw_only=True):
    """Check this essay.  To spellcheck, results; key essay_id; header ``attempt``."""

    entity_ref: EntityReference
    timestamp: Moment
    system_metadata: SystemProcessingMetadata
    text_storage_id: StorageKey
    language: Language
    status: EssayStatus = EssayStatus.AWAITING_SPELLCHECK
    event_name: str = ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED.value

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.status is not EssayStatus.AWAITING_SPELLCHECK:
            raise ValueError(f"a request with status {self.status.value!r}")

    @property
    def batch_id(self) -> str | None:
        """The batch of the essay, where the sender named it."""
        return self.entity_ref.parent_id

    @property
    def essay_id(self) -> str:
        """The essay to be checked."""
        return self.entity_ref.entity_id


class ELSBatchPhaseOutcomeV1(TimedPart, frozen=True, kw_only=True):
    """A phase is over for all essays of the batch.  To BOS, results; key batch_id.

    Header ``attempt``; ``processed_essays`` point at the corrected texts.
    """

    entity_ref: EntityReference
    timestamp: Moment
    phase_status: PipelineExecutionStatus
    processed_essays: list[EssayProcessingInputRefV1]
    failed_essay_ids: list[EntityId]
    system_metadata: SystemProcessingMetadata
    phase: Literal["spellcheck"] = SPELLCHECK_PHASE
    event_name: str = ProcessingEvent.BATCH_PHASE_CONCLUDED.value

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.phase_status not in PHASE_ENDS:
            raise ValueError(f"an outcome with status {self.phase_status.value!r}")
        if names_twice([*ids_of(self.processed_essays), *self.failed_essay_ids]):
            raise ValueError(f"the outcome of batch {self.batch_id!r} names an essay twice")

    @property
    def batch_id(self) -> str:
        """The batch whose phase is over."""
        return self.entity_ref.entity_id
