"""What a server answers, as far as this client reads it; a newer server may say more."""

from collections.abc import Sequence

import msgspec


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A batch was registered."""

    batch_id: str
    correlation_id: str
    status: str


class ActionTaken(msgspec.Struct, frozen=True, kw_only=True):
    """A teacher's wish was kept; ``status`` is the batch's at that moment."""

    batch_id: str
    status: str


class UploadedFile(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one file: whose essay it is, or why it was not taken."""

    name: str
    essay_id: str | None = None
    error: str | None = None


class Uploaded(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one upload: one entry a file, in the order in which they were sent."""

    batch_id: str
    files: Sequence[UploadedFile]


class EssayResult(msgspec.Struct, frozen=True, kw_only=True):
    """One essay as it stands; ``status`` is null until its text is there."""

    essay_id: str
    status: str | None
    status_text: str
    student_name: str | None = None
    file_name: str | None = None
    corrections_made: int | None = None
    error: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether its check ended well."""
        return self.status == "spellchecked_success"

    @property
    def may_succeed_again(self) -> bool:
        """Whether its check failed though its text is there."""
        return self.status == "spellcheck_failed"


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Essays by how they stand: ``pending`` + ``succeeded`` + ``failed`` = ``expected``."""

    expected: int
    texts_received: int
    pending: int
    succeeded: int
    failed: int
    corrections: int


class RefusedText(msgspec.Struct, frozen=True, kw_only=True):
    """A text that the batch did not take, and why in plain words."""

    essay_id: str
    reason_text: str
    file_name: str | None = None


class BatchResults(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as the results of its essays make it."""

    batch_id: str
    status: str
    status_text: str
    is_finished: bool
    counts: Counts
    essays: Sequence[EssayResult]
    attempt: int = 0
    deadline: str | None = None
    timed_out_at: str | None = None
    missing_essay_ids: Sequence[str] = ()
    refused_texts: Sequence[RefusedText] = ()

    @property
    def is_success(self) -> bool:
        """Whether every essay that was expected was checked."""
        return self.is_finished and self.counts.succeeded == self.counts.expected


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch was registered with."""

    course_code: str
    class_designation: str
    expected_essay_count: int
    essay_ids: Sequence[str]


class EssayCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Essays of one pipeline step by how they stand."""

    successful: int = 0
    failed: int = 0


class PipelineStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a batch's pipeline."""

    essay_counts: EssayCounts = EssayCounts()


class PipelineState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch's pipeline is."""

    spellcheck: PipelineStep | None = None


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Until when a batch waits for its texts, and what was missing when that was last told."""

    deadline: str
    timed_out_at: str | None = None
    proceed_requested_at: str | None = None
    missing_essay_ids: Sequence[str] | None = None


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """When, by whom and why a batch was cancelled."""

    cancelled_at: str
    cancelled_by: str | None = None
    reason: str | None = None


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """Since when nobody takes a batch up."""

    since: str
    reason: str


class BatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as the orchestrator sees it."""

    batch_id: str
    status: str
    registered_at: str
    context: Context
    readiness: Readiness
    attempt: int = 1
    cancellation: Cancellation | None = None
    stalled: Stall | None = None
    pipeline_state: PipelineState = PipelineState()

    @property
    def essay_counts(self) -> EssayCounts:
        """Essays of the spell-check; none before it begins."""
        step = self.pipeline_state.spellcheck
        return EssayCounts() if step is None else step.essay_counts


class BatchLine(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as one line of a list."""

    batch_id: str
    status: str
    registered_at: str
    course_code: str
    class_designation: str
    expected_essay_count: int


class BatchPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of batches, newest first; ``next_cursor`` is null on the last page."""

    batches: Sequence[BatchLine]
    next_cursor: str | None = None
