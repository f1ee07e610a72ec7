"""The state of a batch's pipelines, whatever arrives in whatever order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.enums import PipelineExecutionStatus
from huleedu.core.pipeline_state import (
    TERMINAL,
    EssayProcessingCounts,
    ProcessingPipelineState,
    cancelled,
    concluded,
    dispatched,
    is_started,
    progressed,
    redispatched,
)

START = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
NEW = ProcessingPipelineState(batch_id="b", last_updated=START)
CONCLUSIONS = [
    PipelineExecutionStatus.COMPLETED_SUCCESSFULLY,
    PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS,
    PipelineExecutionStatus.FAILED,
]

counts = st.integers(0, 40)
steps = st.one_of(
    st.tuples(st.just("dispatched"), counts),
    st.tuples(st.just("progressed"), counts, counts),
    st.tuples(st.just("concluded"), st.sampled_from(CONCLUSIONS), counts, counts),
    st.tuples(st.just("cancelled"), st.just("the wrong class")),
)


def _after(state: ProcessingPipelineState, step: tuple, at: datetime) -> ProcessingPipelineState:  # type: ignore[type-arg]
    match step:
        case ("dispatched", total):
            return dispatched(state, total, at)
        case ("progressed", successful, failed):
            return progressed(state, successful, failed, at)
        case ("cancelled", reason):
            return cancelled(state, reason, at)
        case (_, status, successful, failed):
            return concluded(state, status, successful, failed, at)
    raise AssertionError(step)


@given(st.lists(steps, max_size=12))
def test_the_counts_always_add_up(history: list[tuple]) -> None:  # type: ignore[type-arg]
    """Waiting, successful and failed make the total, none is negative, progress is 0 to 100."""
    state = NEW
    for number, step in enumerate(history):
        state = _after(state, step, START + timedelta(seconds=number))
        if state.spellcheck is None:
            continue
        c = state.spellcheck.essay_counts
        progress = state.spellcheck.progress_percentage

        assert c.pending_dispatch_or_processing + c.successful + c.failed == c.total
        assert min(c.pending_dispatch_or_processing, c.successful, c.failed) >= 0
        assert progress is not None
        assert 0.0 <= progress <= 100.0


@given(
    st.integers(1, 40),
    st.sampled_from(CONCLUSIONS),
    counts,
    counts,
    st.lists(steps.filter(lambda step: step[0] != "dispatched"), max_size=8),
)
def test_a_concluded_pipeline_stays_as_it_is(
    total: int,
    status: PipelineExecutionStatus,
    successful: int,
    failed: int,
    late: list[tuple],  # type: ignore[type-arg]
) -> None:
    """Late results and repeated outcomes change nothing after the outcome."""
    at = START + timedelta(hours=1)
    state = concluded(dispatched(NEW, total, START), status, successful, failed, at)

    after = state
    for step in late:
        after = _after(after, step, at + timedelta(hours=1))

    assert after == state
    assert state.spellcheck is not None
    assert state.spellcheck.status is status
    assert state.spellcheck.progress_percentage == 100.0
    assert state.spellcheck.completed_at == at


@given(st.lists(steps.filter(lambda step: step[0] != "dispatched"), max_size=8))
def test_nothing_progresses_before_it_was_dispatched(early: list[tuple]) -> None:  # type: ignore[type-arg]
    """Results and outcomes of a pipeline that was never commanded leave it absent."""
    state = NEW
    for step in early:
        state = _after(state, step, START)

    assert state == NEW
    assert not is_started(state)


@pytest.mark.parametrize("status", PipelineExecutionStatus)
def test_a_pipeline_is_started_once_dispatched_or_over(status: PipelineExecutionStatus) -> None:
    """Dispatched, in progress and every end count as started: no second command."""
    state = concluded(dispatched(NEW, 1, START), status, 1, 0, START)
    waiting = {
        PipelineExecutionStatus.REQUESTED_BY_USER,
        PipelineExecutionStatus.PENDING_DEPENDENCIES,
    }

    assert is_started(state) is (status not in waiting)
    assert (status in TERMINAL) is (
        status
        not in waiting
        | {PipelineExecutionStatus.DISPATCH_INITIATED, PipelineExecutionStatus.IN_PROGRESS}
    )


@given(st.integers(1, 40), st.integers(0, 40), st.data())
def test_a_retry_goes_on_from_the_outcome_before(
    failed: int, successful: int, data: st.DataObject
) -> None:
    """What is checked again is pending; what is done, or failed for good, stays counted."""
    retried = data.draw(st.integers(1, failed))
    at = START + timedelta(hours=1)
    ended = concluded(dispatched(NEW, 1, START), CONCLUSIONS[1], successful, failed, START)

    again = redispatched(ended, retried, at).spellcheck

    assert again is not None
    assert again.essay_counts == EssayProcessingCounts(
        total=successful + failed,
        pending_dispatch_or_processing=retried,
        successful=successful,
        failed=failed - retried,
    )
    assert (again.status, again.started_at, again.completed_at, again.error_info) == (
        PipelineExecutionStatus.DISPATCH_INITIATED,
        at,
        None,
        None,
    )
    done = 100.0 * (successful + failed - retried) / (successful + failed)
    assert again.progress_percentage == round(done, 1)


def test_a_cancelled_pipeline_tells_when_and_why() -> None:
    """What had no good result has failed, and how far it was stays told."""
    at = START + timedelta(hours=1)
    running = progressed(dispatched(NEW, 4, START), 1, 1, START)

    stopped = cancelled(running, "the wrong class", at)

    assert stopped.last_updated == at
    assert stopped.spellcheck is not None
    assert stopped.spellcheck.essay_counts == EssayProcessingCounts(
        total=4, pending_dispatch_or_processing=0, successful=1, failed=3
    )
    assert stopped.spellcheck.status is PipelineExecutionStatus.CANCELLED
    assert (stopped.spellcheck.completed_at, stopped.spellcheck.progress_percentage) == (at, 50.0)
    assert stopped.spellcheck.error_info == {"reason": "the wrong class"}


def test_the_way_of_a_class_of_three() -> None:
    """Dispatched at 0 %, a third after each result, 100 % at the outcome."""
    state = dispatched(NEW, 3, START)
    seen = [state]
    seen.append(progressed(seen[-1], 1, 0, START))
    seen.append(progressed(seen[-1], 1, 1, START))
    seen.append(
        concluded(seen[-1], PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS, 2, 1, START)
    )

    assert [s.spellcheck.progress_percentage for s in seen if s.spellcheck] == [0, 33.3, 66.7, 100]
    assert [s.requested_pipelines for s in seen] == [["spellcheck"]] * 4
