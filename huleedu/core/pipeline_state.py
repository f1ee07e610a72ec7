"""The state of a batch's pipelines, kept and served by BOS, and its pure transitions."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from huleedu.core.enums import PipelineExecutionStatus


class PipelineName(StrEnum):
    """The pipelines that a batch may be sent through."""

    SPELLCHECK = "spellcheck"
    NLP_METRICS = "nlp_metrics"
    AI_FEEDBACK = "ai_feedback"
    AI_EDITOR_REVISION = "ai_editor_revision"
    GRAMMAR_CHECK = "grammar_check"
    CJ_ASSESSMENT = "cj_assessment"


TERMINAL = frozenset(
    {
        PipelineExecutionStatus.COMPLETED_SUCCESSFULLY,
        PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS,
        PipelineExecutionStatus.FAILED,
        PipelineExecutionStatus.SKIPPED_DUE_TO_DEPENDENCY_FAILURE,
        PipelineExecutionStatus.SKIPPED_BY_USER_CONFIG,
        PipelineExecutionStatus.CANCELLED,
    }
)

_UNDER_WAY = frozenset(
    {PipelineExecutionStatus.DISPATCH_INITIATED, PipelineExecutionStatus.IN_PROGRESS}
)


class EssayProcessingCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many essays of the batch stand where; the last three add up to ``total``."""

    total: int
    pending_dispatch_or_processing: int
    successful: int = 0
    failed: int = 0


class PipelineStateDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One pipeline of one batch."""

    status: PipelineExecutionStatus
    essay_counts: EssayProcessingCounts
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error_info: dict[str, Any] | None = None
    progress_percentage: float | None = None


class ProcessingPipelineState(msgspec.Struct, frozen=True, kw_only=True):
    """All pipelines of one batch; ``requested_pipelines`` is empty until the batch is ready."""

    batch_id: str
    last_updated: datetime
    requested_pipelines: list[PipelineName] = []
    spellcheck: PipelineStateDetail | None = None
    nlp_metrics: PipelineStateDetail | None = None
    ai_feedback: PipelineStateDetail | None = None
    ai_editor_revision: PipelineStateDetail | None = None
    grammar_check: PipelineStateDetail | None = None
    cj_assessment: PipelineStateDetail | None = None


def is_started(state: ProcessingPipelineState) -> bool:
    """Tell whether the spell-check was dispatched already, so that it must not be again."""
    detail = state.spellcheck
    return detail is not None and (detail.status in _UNDER_WAY or detail.status in TERMINAL)


def dispatched(state: ProcessingPipelineState, total: int, at: datetime) -> ProcessingPipelineState:
    """Return the state after the spell-check of ``total`` essays was commanded."""
    return msgspec.structs.replace(
        state,
        last_updated=at,
        requested_pipelines=[PipelineName.SPELLCHECK],
        spellcheck=PipelineStateDetail(
            status=PipelineExecutionStatus.DISPATCH_INITIATED,
            essay_counts=EssayProcessingCounts(total=total, pending_dispatch_or_processing=total),
            started_at=at,
            progress_percentage=0.0,
        ),
    )


def progressed(
    state: ProcessingPipelineState, successful: int, failed: int, at: datetime
) -> ProcessingPipelineState:
    """Return the state when so many essays have a result; a concluded one stays as it is."""
    detail = state.spellcheck
    if detail is None or detail.status in TERMINAL:
        return state
    return msgspec.structs.replace(
        state,
        last_updated=at,
        spellcheck=msgspec.structs.replace(
            detail,
            status=PipelineExecutionStatus.IN_PROGRESS,
            essay_counts=_counts(detail.essay_counts.total, successful, failed),
            progress_percentage=_percentage(detail.essay_counts.total, successful + failed),
        ),
    )


def concluded(
    state: ProcessingPipelineState,
    status: PipelineExecutionStatus,
    successful: int,
    failed: int,
    at: datetime,
) -> ProcessingPipelineState:
    """Return the state after ELS spoke of all essays of the batch."""
    detail = state.spellcheck
    if detail is None or detail.status in TERMINAL:
        return state
    return msgspec.structs.replace(
        state,
        last_updated=at,
        spellcheck=msgspec.structs.replace(
            detail,
            status=status,
            essay_counts=_counts(successful + failed, successful, failed),
            completed_at=at,
            progress_percentage=100.0,
        ),
    )


def redispatched(
    state: ProcessingPipelineState, retried: int, at: datetime
) -> ProcessingPipelineState:
    """Return the state after ``retried`` of the failed essays were commanded to be checked again.

    The counts go on from the outcome before, so that they speak of the whole batch throughout.
    The spell-check must be concluded, with at least so many failures.
    """
    detail = state.spellcheck
    assert detail is not None, "what is retried was commanded before"
    counts = detail.essay_counts
    assert 0 < retried <= counts.failed, "only what failed is retried"
    failed = counts.failed - retried
    return msgspec.structs.replace(
        state,
        last_updated=at,
        spellcheck=PipelineStateDetail(
            status=PipelineExecutionStatus.DISPATCH_INITIATED,
            essay_counts=EssayProcessingCounts(
                total=counts.total,
                pending_dispatch_or_processing=retried,
                successful=counts.successful,
                failed=failed,
            ),
            started_at=at,
            progress_percentage=_percentage(counts.total, counts.successful + failed),
        ),
    )


def cancelled(state: ProcessingPipelineState, reason: str, at: datetime) -> ProcessingPipelineState:
    """Return the state after the batch was cancelled: what had no result has failed.

    A pipeline that was not commanded, or has ended, stays as it is.
    """
    detail = state.spellcheck
    if detail is None or detail.status in TERMINAL:
        return state
    counts = detail.essay_counts
    return msgspec.structs.replace(
        state,
        last_updated=at,
        spellcheck=msgspec.structs.replace(
            detail,
            status=PipelineExecutionStatus.CANCELLED,
            essay_counts=_counts(counts.total, counts.successful, counts.total - counts.successful),
            completed_at=at,
            error_info={"reason": reason},
        ),
    )


def _counts(total: int, successful: int, failed: int) -> EssayProcessingCounts:
    # Results are counted apart from the dispatch: never more done than there are.
    done = min(total, successful + failed)
    failed = min(failed, done)
    return EssayProcessingCounts(
        total=total,
        pending_dispatch_or_processing=total - done,
        successful=done - failed,
        failed=failed,
    )


def _percentage(total: int, done: int) -> float:
    return 100.0 if total == 0 else round(100.0 * min(done, total) / total, 1)
