"""What a batch and its essays are, folded out of the facts: pure, and the same in any order.

Precedence, the strongest first: the outcome of the newest attempt (ELS speaks of all essays), a
result of that attempt, its request, readiness, a text.  A cancelled batch keeps what was terminal.
"""

from collections.abc import Sequence
from operator import attrgetter

from huleedu.core.enums import BatchStatus, EssayStatus, PipelineExecutionStatus
from huleedu.core.ports import Accepted
from huleedu.results.model import (
    BatchFacts,
    BatchView,
    Counts,
    EssayFacts,
    EssayView,
    RefusedText,
    ResultFact,
    TextFact,
)
from huleedu.results.wording import (
    DEADLINE_PASSED,
    GOES_ON,
    NO_RESULT_IN_TIME,
    batch_status_text,
    because,
    cancelled_text,
    essay_status_text,
    failure_text,
    refusal_text,
)

FAILED = frozenset(
    {
        EssayStatus.SPELLCHECK_FAILED,
        EssayStatus.CONTENT_INGESTION_FAILED,
        EssayStatus.ESSAY_CRITICAL_FAILURE,
    }
)

_AFTER_OUTCOME = {
    PipelineExecutionStatus.COMPLETED_SUCCESSFULLY: BatchStatus.COMPLETED_SUCCESSFULLY,
    PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS: BatchStatus.COMPLETED_WITH_FAILURES,
    PipelineExecutionStatus.FAILED: BatchStatus.FAILED_CRITICALLY,
}

NOTHING_ACCEPTED = Accepted()

_when_said = attrgetter("said_at", "event_id")


def view_of(
    facts: BatchFacts, patience_ends: str, accepted: Accepted = NOTHING_ACCEPTED
) -> BatchView:
    """Return the batch as it stands.

    An outcome may overtake the results that it speaks of: a batch is finished when they are here
    too.  An outcome said before ``patience_ends`` (as ``clock.to_text``) waits for them no more.

    What was ``accepted`` may not have been heard yet: a batch that is to be checked again, or was
    cancelled, is not finished by the outcome of the time before.
    """
    essays = [_essay(facts, essay) for essay in facts.essays]
    counts = _counts(facts, essays)
    status, finished_at = _status(facts, essays, patience_ends, accepted)
    return BatchView(
        batch_id=facts.batch_id,
        status=status,
        status_text=_status_text(facts, status, counts),
        is_finished=finished_at is not None,
        correlation_id=facts.correlation_id,
        expected_essay_count=facts.expected_count,
        attempt=max([facts.outcome_attempt, *(essay.attempt for essay in essays)]),
        counts=counts,
        registered_at=facts.registered_at,
        updated_at=facts.updated_at,
        finished_at=finished_at,
        deadline=facts.deadline,
        timed_out_at=facts.timed_out_at,
        proceeded_at=facts.proceeded_at,
        cancelled_at=facts.cancelled_at,
        cancelled_by=facts.cancelled_by,
        cancel_reason=facts.cancel_reason,
        missing_essay_ids=_missing(facts, essays),
        essays=essays,
        refused_texts=_refused(facts),
    )


def _status_text(facts: BatchFacts, status: BatchStatus, counts: Counts) -> str:
    text = batch_status_text(
        status, counts.texts_received, counts.succeeded + counts.failed, counts.expected
    )
    if status is BatchStatus.CANCELLED:
        return f"{text}{because(facts.cancel_reason)}"
    if status is not BatchStatus.AWAITING_CONTENT_VALIDATION:
        return text
    if facts.proceeded_at is not None:
        return f"{text}; {GOES_ON}"
    return f"{text}; {DEADLINE_PASSED}" if _is_overdue(facts) else text


def _is_overdue(facts: BatchFacts) -> bool:
    """Tell whether a deadline passed, and no later one was set."""
    if facts.timed_out_at is None or facts.ready_at is not None:
        return False
    return facts.deadline is None or facts.deadline <= facts.timed_out_at


def _missing(facts: BatchFacts, essays: Sequence[EssayView]) -> Sequence[str]:
    ready = {essay.essay_id for essay in facts.essays if essay.is_ready}
    return [
        essay.essay_id
        for essay in essays
        if (
            essay.original_storage_id is None
            if facts.ready_at is None
            else essay.essay_id not in ready
        )
    ]


def _counts(facts: BatchFacts, essays: Sequence[EssayView]) -> Counts:
    succeeded = sum(essay.status is EssayStatus.SPELLCHECKED_SUCCESS for essay in essays)
    failed = sum(essay.status in FAILED for essay in essays)
    return Counts(
        expected=facts.expected_count,
        texts_received=sum(essay.original_storage_id is not None for essay in essays),
        pending=facts.expected_count - succeeded - failed,
        succeeded=succeeded,
        failed=failed,
        corrections=sum(essay.corrections_made or 0 for essay in essays),
    )


def _status(
    facts: BatchFacts, essays: Sequence[EssayView], patience_ends: str, accepted: Accepted
) -> tuple[BatchStatus, str | None]:
    """Return the batch's status, and since when nothing more will happen to it."""
    if facts.cancelled_at is not None:
        return BatchStatus.CANCELLED, facts.cancelled_at
    goes_on = accepted.is_cancelled or accepted.attempt > max(1, facts.outcome_attempt)
    if facts.ready_count == 0 and not goes_on:
        return BatchStatus.CONTENT_INGESTION_FAILED, facts.ready_at
    if facts.outcome_status is not None and facts.outcome_at is not None:
        is_newest = all(essay.attempt <= facts.outcome_attempt for essay in essays)
        is_settled = facts.outcome_at < patience_ends or all(map(_is_settled, essays))
        if is_newest and is_settled and not goes_on:
            return _AFTER_OUTCOME[facts.outcome_status], facts.outcome_at
    if any(essay.attempt for essay in essays) or facts.outcome_attempt:
        return BatchStatus.PROCESSING_PIPELINES, None
    if facts.ready_at is not None:
        return BatchStatus.READY_FOR_PIPELINE_EXECUTION, None
    return BatchStatus.AWAITING_CONTENT_VALIDATION, None


def _is_settled(essay: EssayView) -> bool:
    if essay.status is EssayStatus.SPELLCHECKED_SUCCESS:
        return essay.corrected_storage_id is not None
    return essay.status in FAILED


def _essay(batch: BatchFacts, essay: EssayFacts) -> EssayView:
    by_attempt = [(_attempt_of(result, essay), result) for result in essay.results]
    tried = max([essay.requested_attempt, *(n for n, _ in by_attempt)])
    attempt = max(tried, essay.outcome_attempt)
    status, result = _checked(essay, attempt, by_attempt)
    if status is None:
        status, attempt = _unchecked(batch, essay), 0
    error = _error(essay, status, result)
    if batch.cancelled_at is not None and not _was_terminal(batch, essay, status, result):
        status, result = EssayStatus.ESSAY_CRITICAL_FAILURE, None
        error = cancelled_text(batch.cancel_reason)
    original = _original(essay, result)
    text = next((text for text in essay.texts if text.storage_id == original), None)
    return EssayView(
        essay_id=essay.essay_id,
        status=status,
        status_text=essay_status_text(status, is_overdue=_is_overdue(batch)),
        attempt=tried or attempt,  # an outcome speaks of essays too that were done before
        student_name=text.student_name if text else None,
        file_name=text.file_name if text else None,
        corrections_made=result.corrections_made if result else None,
        error=error,
        original_storage_id=original,
        corrected_storage_id=result.corrected_storage_id if result else None,
        log_storage_id=result.log_storage_id if result else None,
    )


def _attempt_of(result: ResultFact, essay: EssayFacts) -> int:
    """Return the attempt that a result belongs to.

    One that names none counts for the attempt that was current when it was said.
    """
    if result.attempt:
        return result.attempt
    if essay.requested_at is None:
        return max(1, essay.outcome_attempt)
    overtaken = result.said_at < essay.requested_at
    return max(1, essay.requested_attempt - overtaken)


def _checked(
    essay: EssayFacts, attempt: int, by_attempt: Sequence[tuple[int, ResultFact]]
) -> tuple[EssayStatus | None, ResultFact | None]:
    """Return what the check came to in the newest attempt, and the result that says so."""
    if attempt == 0:
        return None, None
    if essay.outcome_attempt == attempt:
        return _concluded(essay, by_attempt)
    answers = [result for number, result in by_attempt if number == attempt]
    if not answers:
        return EssayStatus.AWAITING_SPELLCHECK, None
    first = min(answers, key=_when_said)
    if first.is_success:
        return EssayStatus.SPELLCHECKED_SUCCESS, first
    return EssayStatus.SPELLCHECK_FAILED, first


def _concluded(
    essay: EssayFacts, by_attempt: Sequence[tuple[int, ResultFact]]
) -> tuple[EssayStatus | None, ResultFact | None]:
    """Return what the outcome made of the essay: it may rest on an attempt before its own."""
    fitting = [pair for pair in by_attempt if pair[1].is_success == essay.outcome_is_success]
    newest = max(fitting, key=lambda pair: (pair[0], _when_said(pair[1])), default=(0, None))
    if essay.outcome_is_success:
        return EssayStatus.SPELLCHECKED_SUCCESS, newest[1]
    if not essay.requested_attempt and not essay.is_ready and not by_attempt:
        return None, None  # the outcome counts an essay without a text as failed
    return EssayStatus.SPELLCHECK_FAILED, newest[1]


def _unchecked(batch: BatchFacts, essay: EssayFacts) -> EssayStatus | None:
    if batch.ready_at is not None:
        if essay.is_ready:
            return EssayStatus.READY_FOR_PROCESSING
        return EssayStatus.CONTENT_INGESTION_FAILED
    if _original(essay, None) is not None:
        return EssayStatus.READY_FOR_PROCESSING
    return None


def _error(essay: EssayFacts, status: EssayStatus | None, result: ResultFact | None) -> str | None:
    if status is not EssayStatus.SPELLCHECK_FAILED:
        return None
    if result is None or _attempt_of(result, essay) < essay.requested_attempt:
        return NO_RESULT_IN_TIME
    return failure_text(result.error_code, result.error_message)


def _was_terminal(
    batch: BatchFacts, essay: EssayFacts, status: EssayStatus | None, result: ResultFact | None
) -> bool:
    """Tell whether the essay was terminal when its batch was cancelled."""
    if status is EssayStatus.CONTENT_INGESTION_FAILED:
        return True
    if status is not EssayStatus.SPELLCHECKED_SUCCESS:
        return False
    is_concluded = essay.outcome_attempt >= essay.requested_attempt and essay.outcome_is_success
    if is_concluded or result is None or batch.cancelled_at is None:
        return True
    return result.said_at <= batch.cancelled_at


def _original(essay: EssayFacts, result: ResultFact | None) -> str | None:
    """Return the essay's text: what was checked, else what ELS took, else the latest announced."""
    known = (
        (result.original_storage_id if result else None)
        or essay.requested_storage_id
        or essay.ready_storage_id
    )
    if known is not None:
        return known
    taken = [text for text in essay.texts if text.said_at and text.refused_because is None]
    return max(taken, key=_when_said).storage_id if taken else None


def _refused(facts: BatchFacts) -> Sequence[RefusedText]:
    named = [
        *((essay.essay_id, text) for essay in facts.essays for text in essay.texts),
        *facts.strangers,
    ]
    refused = [_refusal(essay_id, text) for essay_id, text in named if text.refused_because]
    return sorted(refused, key=attrgetter("essay_id", "storage_id"))


def _refusal(essay_id: str, text: TextFact) -> RefusedText:
    assert text.refused_because is not None
    return RefusedText(
        essay_id=essay_id,
        storage_id=text.storage_id,
        file_name=text.file_name,
        student_name=text.student_name,
        reason=text.refused_because,
        reason_text=refusal_text(text.refused_because),
    )
