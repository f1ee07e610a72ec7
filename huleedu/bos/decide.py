"""What becomes of a batch when something is heard about it: pure, right in any order.

Topics are read apart, so any fact may overtake any other.  An outcome ends the batch even where the
readiness was not heard yet, and that readiness then starts nothing; results that come before it are
counted and show once the command is out.
"""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from huleedu.bos.model import (
    CLOSED,
    Batch,
    Decision,
    EssaysReady,
    Fact,
    PhaseConcluded,
    ReadinessTimedOut,
    ResultsCounted,
)
from huleedu.core.enums import BatchStatus, PipelineExecutionStatus
from huleedu.core.errors import Rejected
from huleedu.core.pipeline_state import (
    EssayProcessingCounts,
    PipelineName,
    PipelineStateDetail,
    concluded,
    dispatched,
    is_started,
    progressed,
)

STATUS_AFTER = {
    PipelineExecutionStatus.COMPLETED_SUCCESSFULLY: BatchStatus.COMPLETED_SUCCESSFULLY,
    PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS: BatchStatus.COMPLETED_WITH_FAILURES,
    PipelineExecutionStatus.FAILED: BatchStatus.FAILED_CRITICALLY,
}
"""The batch's status after the outcome of its only pipeline."""


class UnknownAttempt(Rejected):
    """Someone speaks of an attempt that was never commanded."""


def decide(batch: Batch, fact: Fact, at: datetime) -> Decision:
    """Return what follows from a fact that is heard at this moment (UTC).

    Raises ``UnknownAttempt``.
    """
    match fact:
        case EssaysReady():
            return _start(batch, fact, at)
        case ResultsCounted():
            return _count(batch, fact, at)
        case PhaseConcluded():
            return _conclude(batch, fact, at)
        case ReadinessTimedOut():
            return _note_timeout(batch, fact)
        case _:
            assert_never(fact)


def counts_for(batch: Batch, attempt: int | None) -> bool:
    """Tell whether a result counts; one without an attempt counts for the current one.

    Raises ``UnknownAttempt``.
    """
    if attempt is not None and attempt > batch.attempt:
        raise UnknownAttempt(
            f"attempt {attempt} of batch {batch.batch_id} was never commanded; "
            f"it stands at {batch.attempt}"
        )
    return attempt in (None, batch.attempt)


def _start(batch: Batch, fact: EssaysReady, at: datetime) -> Decision:
    if batch.status in CLOSED:
        return Decision(batch, skipped=f"the batch is {batch.status.value}")
    if is_started(batch.pipelines):
        return Decision(batch, skipped="its spell-check was started before")
    if not fact.essays:
        return Decision(_without_content(batch, at), concluded=True)
    pipelines = dispatched(batch.pipelines, len(fact.essays), at)
    ready = replace(batch, status=BatchStatus.READY_FOR_PIPELINE_EXECUTION, pipelines=pipelines)
    return Decision(_with_progress(ready, at), to_spellcheck=fact.essays)


def _without_content(batch: Batch, at: datetime) -> Batch:
    count = batch.essay_count
    detail = PipelineStateDetail(
        status=PipelineExecutionStatus.SKIPPED_DUE_TO_DEPENDENCY_FAILURE,
        essay_counts=EssayProcessingCounts(
            total=count, pending_dispatch_or_processing=0, failed=count
        ),
        completed_at=at,
        error_info={"reason": "the batch went on without the text of any essay"},
    )
    pipelines = replace(
        batch.pipelines,
        last_updated=at,
        requested_pipelines=[PipelineName.SPELLCHECK],
        spellcheck=detail,
    )
    return replace(batch, status=BatchStatus.CONTENT_INGESTION_FAILED, pipelines=pipelines)


def _count(batch: Batch, fact: ResultsCounted, at: datetime) -> Decision:
    counted = replace(
        batch, successful=batch.successful + fact.successful, failed=batch.failed + fact.failed
    )
    if batch.status in CLOSED:
        return Decision(counted, skipped=f"the batch is {batch.status.value}")
    return Decision(_with_progress(counted, at))


def _with_progress(batch: Batch, at: datetime) -> Batch:
    if batch.pipelines.spellcheck is None or not batch.successful + batch.failed:
        return batch
    return replace(
        batch,
        status=BatchStatus.PROCESSING_PIPELINES,
        pipelines=progressed(batch.pipelines, batch.successful, batch.failed, at),
    )


def _conclude(batch: Batch, fact: PhaseConcluded, at: datetime) -> Decision:
    if not counts_for(batch, fact.attempt):
        return Decision(batch, skipped=f"attempt {fact.attempt} is over")
    if batch.status in CLOSED:
        return Decision(batch, skipped=f"the batch is {batch.status.value}")
    total = fact.successful + fact.failed
    started = (
        batch.pipelines if is_started(batch.pipelines) else dispatched(batch.pipelines, total, at)
    )
    ended = replace(
        batch,
        status=STATUS_AFTER[fact.status],
        pipelines=concluded(started, fact.status, fact.successful, fact.failed, at),
    )
    return Decision(ended, concluded=True)


def _note_timeout(batch: Batch, fact: ReadinessTimedOut) -> Decision:
    last = batch.readiness_timed_out_at
    if last is not None and last >= fact.at:
        return Decision(batch, skipped="a later deadline passed already")
    missing = fact.missing_essay_ids
    return Decision(replace(batch, readiness_timed_out_at=fact.at, missing_essay_ids=missing))
