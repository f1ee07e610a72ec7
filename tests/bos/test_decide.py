"""What becomes of a batch when something is heard about it."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from huleedu.bos.decide import UnknownAttempt, counts_for, decide
from huleedu.bos.model import (
    CLOSED,
    Batch,
    EssaysReady,
    Fact,
    PhaseConcluded,
    ReadinessTimedOut,
    ResultsCounted,
)
from huleedu.core.enums import BatchStatus, Language, PipelineExecutionStatus
from huleedu.core.pipeline_state import PipelineName, ProcessingPipelineState
from tests.bos.building import FAILED, PARTIAL, SUCCESS, references_to
from tests.support.builders import AT

LATER = AT + timedelta(minutes=5)
READY = EssaysReady(references_to(["a", "b", "c"]))
REGISTERED = Batch(
    batch_id="batch",
    correlation_id=UUID(int=1),
    language=Language.SWEDISH,
    essay_count=3,
    status=BatchStatus.AWAITING_CONTENT_VALIDATION,
    attempt=1,
    pipelines=ProcessingPipelineState(batch_id="batch", last_updated=AT),
)


def after(*facts: Fact, batch: Batch = REGISTERED) -> Batch:
    for fact in facts:
        batch = decide(batch, fact, LATER).batch
    return batch


def counts(batch: Batch) -> tuple[int, int, int, int]:
    assert batch.pipelines.spellcheck is not None
    essays = batch.pipelines.spellcheck.essay_counts
    return (
        essays.total,
        essays.pending_dispatch_or_processing,
        essays.successful,
        essays.failed,
    )


def test_readiness_starts_the_spellcheck() -> None:
    """All ready essays are to be checked, and the pipeline says that it was asked for."""
    decision = decide(REGISTERED, READY, LATER)

    batch = decision.batch
    assert decision.to_spellcheck == READY.essays
    assert batch.status is BatchStatus.READY_FOR_PIPELINE_EXECUTION
    assert batch.pipelines.requested_pipelines == [PipelineName.SPELLCHECK]
    assert batch.pipelines.spellcheck is not None
    assert batch.pipelines.spellcheck.status is PipelineExecutionStatus.DISPATCH_INITIATED
    assert counts(batch) == (3, 3, 0, 0)


def test_readiness_starts_it_once() -> None:
    """A second readiness is skipped, with its reason, whatever came between."""
    for between in ([], [ResultsCounted(1, 0)], [PhaseConcluded(1, SUCCESS, 3, 0)]):
        started = after(READY, *between)
        decision = decide(started, READY, LATER)

        assert (decision.batch, list(decision.to_spellcheck)) == (started, [])
        assert decision.skipped is not None


def test_a_batch_that_went_on_without_any_essay_failed() -> None:
    """Nothing is commanded; the batch says that its content never came."""
    decision = decide(REGISTERED, EssaysReady([]), LATER)

    assert not decision.to_spellcheck
    assert decision.batch.status is BatchStatus.CONTENT_INGESTION_FAILED
    assert counts(decision.batch) == (3, 0, 0, 3)


def test_results_show_as_progress() -> None:
    """The first result moves the batch to processing; each counts."""
    one = after(READY, ResultsCounted(1, 0))
    three = after(ResultsCounted(1, 1), batch=one)

    assert one.status is BatchStatus.PROCESSING_PIPELINES
    assert (counts(one), counts(three)) == ((3, 2, 1, 0), (3, 0, 2, 1))
    assert one.pipelines.spellcheck is not None
    assert one.pipelines.spellcheck.progress_percentage == 33.3
    assert one.pipelines.spellcheck.status is PipelineExecutionStatus.IN_PROGRESS


def test_results_that_overtake_the_readiness_show_once_it_is_heard() -> None:
    """They are counted at once, and are in the pipeline's counts with the command."""
    early = after(ResultsCounted(1, 0))
    decision = decide(early, READY, LATER)

    assert early.status is BatchStatus.AWAITING_CONTENT_VALIDATION
    assert decision.to_spellcheck == READY.essays
    assert decision.batch == after(READY, ResultsCounted(1, 0))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (PhaseConcluded(1, SUCCESS, 3, 0), BatchStatus.COMPLETED_SUCCESSFULLY),
        (PhaseConcluded(1, PARTIAL, 2, 1), BatchStatus.COMPLETED_WITH_FAILURES),
        (PhaseConcluded(1, FAILED, 0, 3), BatchStatus.FAILED_CRITICALLY),
    ],
)
def test_an_outcome_ends_the_batch(outcome: PhaseConcluded, status: BatchStatus) -> None:
    """The counts are the outcome's, and the pipeline has its terminal status."""
    decision = decide(after(READY, ResultsCounted(1, 0)), outcome, LATER)

    batch = decision.batch
    assert decision.concluded
    assert batch.status is status
    assert counts(batch) == (3, 0, outcome.successful, outcome.failed)
    assert batch.pipelines.spellcheck is not None
    assert batch.pipelines.spellcheck.status is outcome.status
    assert batch.pipelines.spellcheck.completed_at == LATER


def test_an_outcome_counts_the_essays_that_never_came() -> None:
    """Two essays were checked, the third never came: the outcome speaks of all three."""
    went_on = after(EssaysReady(references_to(["a", "b"])))

    ended = after(PhaseConcluded(1, PARTIAL, 2, 1), batch=went_on)

    assert (counts(went_on), counts(ended)) == ((2, 2, 0, 0), (3, 0, 2, 1))


def test_an_outcome_that_overtakes_the_readiness_ends_the_batch_for_good() -> None:
    """The readiness heard afterwards starts nothing."""
    ended = after(PhaseConcluded(1, PARTIAL, 2, 1))
    late = decide(ended, READY, LATER)

    assert ended.status is BatchStatus.COMPLETED_WITH_FAILURES
    assert ended.pipelines.requested_pipelines == [PipelineName.SPELLCHECK]
    assert counts(ended) == (3, 0, 2, 1)
    assert (late.batch, list(late.to_spellcheck)) == (ended, [])


def test_a_cancelled_batch_is_not_started() -> None:
    """A readiness that comes after the cancelling is skipped, and says why."""
    cancelled = replace(REGISTERED, status=BatchStatus.CANCELLED)

    decision = decide(cancelled, READY, LATER)

    assert (decision.batch, list(decision.to_spellcheck)) == (cancelled, [])
    assert decision.skipped == "the batch is cancelled"


def test_an_older_attempt_changes_nothing() -> None:
    """While the second attempt runs, the first one's outcome and results are history."""
    retried = replace(after(READY), attempt=2)

    late = decide(retried, PhaseConcluded(1, FAILED, 0, 3), LATER)

    assert (late.batch, late.skipped) == (retried, "attempt 1 is over")
    assert not counts_for(retried, 1)
    assert counts_for(retried, 2)
    assert counts_for(retried, None)


def test_an_attempt_that_was_never_commanded_is_refused() -> None:
    """Nobody can have answered what was not asked."""
    with pytest.raises(UnknownAttempt, match="attempt 2 of batch batch was never commanded"):
        decide(after(READY), PhaseConcluded(2, SUCCESS, 3, 0), LATER)
    with pytest.raises(UnknownAttempt):
        counts_for(REGISTERED, 7)


def test_a_timeout_is_noted_and_closes_nothing() -> None:
    """The last deadline that passed is kept, in whichever order they are heard."""
    early, late = ReadinessTimedOut(AT, ("b", "c")), ReadinessTimedOut(LATER, ("c",))

    assert after(early) == replace(
        REGISTERED, readiness_timed_out_at=AT, missing_essay_ids=("b", "c")
    )
    assert after(early, late) == after(late, early) == after(late, late)
    assert after(late).readiness_timed_out_at == LATER
    assert after(late).missing_essay_ids == ("c",)
    assert decide(after(early), READY, LATER).to_spellcheck == READY.essays


facts = st.one_of(
    st.just(READY),
    st.just(EssaysReady([])),
    st.builds(ResultsCounted, st.integers(0, 2), st.integers(0, 2)),
    st.builds(
        PhaseConcluded,
        st.just(1),
        st.sampled_from([SUCCESS, PARTIAL, FAILED]),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    st.builds(ReadinessTimedOut, st.sampled_from([AT, LATER])),
)


@given(st.sampled_from(sorted(CLOSED)), st.lists(facts))
def test_a_closed_batch_stays_as_it_is(status: BatchStatus, heard: list[Fact]) -> None:
    """Cancelled, failed or completed: nothing moves it, and nothing is commanded."""
    closed = replace(after(READY), status=status)

    batch = closed
    for fact in heard:
        decision = decide(batch, fact, LATER)
        batch = decision.batch
        assert not decision.to_spellcheck
        assert not decision.concluded

    assert (batch.status, batch.pipelines) == (status, closed.pipelines)


@given(st.lists(facts))
def test_a_batch_is_commanded_at_most_once_and_ends_at_most_once(heard: list[Fact]) -> None:
    """Whatever comes in whichever order, and the counts always add up."""
    batch, commands, ends = REGISTERED, 0, 0
    for fact in heard:
        decision = decide(batch, fact, LATER)
        batch = decision.batch
        commands += bool(decision.to_spellcheck)
        ends += decision.concluded
        if batch.pipelines.spellcheck is not None:
            total, pending, good, bad = counts(batch)
            assert total == pending + good + bad

    assert commands <= 1
    assert ends <= 1
