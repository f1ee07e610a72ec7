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
    EntityReference,
    EssayProcessingInputRefV1,
    Moment,
    Part,
    SystemProcessingMetadata,
    TimedPart,
)

SPELLCHECK_PHASE: Literal["spellcheck"] = "spellcheck"


class BatchEssaysReady(Part, frozen=True, kw_only=True):
    """Every essay of the batch has its text.  To BOS, results; key batch_id; once per batch.

    ``ready_essays`` is absent from a foreign sender: then the references are asked for.
    """

    batch_id: str
    ready_essay_ids: list[str]
    total_count: Count
    batch_entity: EntityReference
    metadata: SystemProcessingMetadata
    ready_essays: list[EssayProcessingInputRefV1] | None = None
    event: str = ProcessingEvent.BATCH_ESSAYS_READY.value


class BatchReadinessTimeout(Part, frozen=True, kw_only=True):
    """Essays are missing at the deadline.  To BOS, results; key batch_id; closes nothing."""

    batch_id: str
    ready_essay_ids: list[str]
    missing_essay_ids: list[str]
    expected_count: Count
    actual_count: Count
    timeout_duration_seconds: float
    metadata: SystemProcessingMetadata
    ready_essays: list[EssayProcessingInputRefV1] | None = None
    event: str = ProcessingEvent.BATCH_READINESS_TIMEOUT.value


class EssayContentRefused(Part, frozen=True, kw_only=True):
    """A text came that the batch cannot take.  To files, results; key batch_id."""

    batch_id: str
    essay_id: str
    storage_id: str
    reason: RefusalReason
    metadata: SystemProcessingMetadata
    event: str = ProcessingEvent.ESSAY_CONTENT_REFUSED.value


class EssayLifecycleSpellcheckRequestV1(TimedPart, frozen=True, kw_only=True):
    """Check this essay.  To spellcheck, results; key essay_id; header ``attempt``."""

    entity_ref: EntityReference
    timestamp: Moment
    system_metadata: SystemProcessingMetadata
    text_storage_id: str
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
    failed_essay_ids: list[str]
    system_metadata: SystemProcessingMetadata
    phase: str = SPELLCHECK_PHASE
    event_name: str = ProcessingEvent.BATCH_PHASE_CONCLUDED.value

    @property
    def batch_id(self) -> str:
        """The batch whose phase is over."""
        return self.entity_ref.entity_id
