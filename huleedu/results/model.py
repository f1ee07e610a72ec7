"""The facts of one batch as they are stored, and what they come to."""

from collections.abc import Sequence

import msgspec

from huleedu.core.enums import BatchStatus, EssayStatus, PipelineExecutionStatus, RefusalReason


class TextFact(msgspec.Struct, frozen=True, kw_only=True):
    """A text that was announced for an essay, or refused, or both."""

    storage_id: str
    said_at: str = ""
    event_id: str = ""
    student_name: str | None = None
    file_name: str | None = None
    refused_because: RefusalReason | None = None


class ResultFact(msgspec.Struct, frozen=True, kw_only=True):
    """What a checker answered; ``attempt`` 0: it named none."""

    attempt: int
    is_success: bool
    said_at: str
    event_id: str
    original_storage_id: str
    corrected_storage_id: str | None = None
    log_storage_id: str | None = None
    corrections_made: int | None = None
    error_code: str | None = None
    error_message: str | None = None


class EssayFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All that was said about one registered essay."""

    essay_id: str
    is_ready: bool = False
    ready_storage_id: str | None = None
    requested_attempt: int = 0
    requested_at: str | None = None
    requested_storage_id: str | None = None
    outcome_attempt: int = 0
    outcome_is_success: bool = False
    texts: Sequence[TextFact] = ()
    results: Sequence[ResultFact] = ()


class BatchFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All that was said about one registered batch, and its essays as registered."""

    batch_id: str
    updated_at: str
    registered_at: str
    expected_count: int
    correlation_id: str | None = None
    deadline: str | None = None
    deadline_said_at: str | None = None
    timed_out_at: str | None = None
    proceeded_at: str | None = None
    ready_at: str | None = None
    ready_count: int | None = None
    cancelled_at: str | None = None
    cancel_reason: str | None = None
    cancelled_by: str | None = None
    outcome_attempt: int = 0
    outcome_status: PipelineExecutionStatus | None = None
    outcome_at: str | None = None
    essays: Sequence[EssayFacts] = ()
    strangers: Sequence[tuple[str, TextFact]] = ()
    """Refused texts of essay ids that the batch does not have."""


class RefusedText(msgspec.Struct, frozen=True, kw_only=True):
    """A text that the batch did not take, and why in plain words."""

    essay_id: str
    storage_id: str
    file_name: str | None
    student_name: str | None
    reason: RefusalReason
    reason_text: str


class EssayView(msgspec.Struct, frozen=True, kw_only=True):
    """One essay as it stands; ``status`` is null until its text is there."""

    essay_id: str
    status: EssayStatus | None
    status_text: str
    attempt: int
    """In which attempt it was last checked, from 1; 0 before that."""
    student_name: str | None = None
    file_name: str | None = None
    corrections_made: int | None = None
    error: str | None = None
    original_storage_id: str | None = None
    corrected_storage_id: str | None = None
    log_storage_id: str | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Essays by how they stand: ``pending`` + ``succeeded`` + ``failed`` = ``expected``."""

    expected: int
    texts_received: int
    pending: int
    succeeded: int
    failed: int
    corrections: int


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it stands; times are ISO 8601 in UTC."""

    batch_id: str
    status: BatchStatus
    status_text: str
    is_finished: bool
    correlation_id: str | None
    expected_essay_count: int
    attempt: int
    counts: Counts
    registered_at: str
    updated_at: str
    finished_at: str | None
    deadline: str | None
    """Of the latest extension; null without one."""
    timed_out_at: str | None
    proceeded_at: str | None
    cancelled_at: str | None
    cancelled_by: str | None
    cancel_reason: str | None
    missing_essay_ids: Sequence[str]
    """Essays whose text is not here, or came too late, in the order of registration."""
    essays: Sequence[EssayView]
    refused_texts: Sequence[RefusedText]
