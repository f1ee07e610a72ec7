"""What a batch tells about itself and a teacher reads, word for word."""

from datetime import datetime, timedelta

import pytest

from huleedu.bos.actions import Cancel, Proceed, Refused, Retry, Taken, act
from huleedu.bos.decide import decide
from huleedu.bos.model import EssaysReady, PhaseConcluded, ReadinessTimedOut
from huleedu.bos.stalls import Standing, stall_of
from huleedu.core.enums import BatchStatus, PipelineExecutionStatus
from huleedu.core.pipeline_state import (
    EssayProcessingCounts,
    PipelineName,
    PipelineStateDetail,
    ProcessingPipelineState,
    dispatched,
    progressed,
    redispatched,
)
from tests.bos.building import FAILED
from tests.bos.test_actions import AGAIN, NOW, READY, REGISTERED, after
from tests.bos.test_stalls import DEADLINE, MINUTE, PATIENCE, RUNNING, WAITING
from tests.support.builders import AT


def test_a_batch_without_any_text_tells_that_all_its_essays_failed() -> None:
    """Its pipeline was asked for and skipped, when and why."""
    batch = after(Proceed(), EssaysReady([]))

    assert batch.pipelines == ProcessingPipelineState(
        batch_id="batch",
        last_updated=NOW,
        requested_pipelines=[PipelineName.SPELLCHECK],
        spellcheck=PipelineStateDetail(
            status=PipelineExecutionStatus.SKIPPED_DUE_TO_DEPENDENCY_FAILURE,
            essay_counts=EssayProcessingCounts(
                total=3, pending_dispatch_or_processing=0, successful=0, failed=3
            ),
            completed_at=NOW,
            error_info={"reason": "the batch went on without the text of any essay"},
        ),
    )


def test_a_deadline_that_is_told_twice_counts_once() -> None:
    """So does one that was told after a later one."""
    late = ReadinessTimedOut(AT + timedelta(hours=2), ("a",))
    batch = after(late)

    for at in (late.at, AT):
        decision = decide(batch, ReadinessTimedOut(at, ("a", "b")), NOW)

        assert decision.batch == batch
        assert decision.skipped == "a later deadline passed already"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (None, "the batch was cancelled"),
        ("the wrong class", "the batch was cancelled: the wrong class"),
    ],
)
def test_a_cancelled_pipeline_tells_when_and_why(reason: str | None, told: str) -> None:
    """In the teacher's words if there are any."""
    batch = after(READY, Cancel(reason))

    detail = batch.pipelines.spellcheck
    assert detail is not None
    assert detail.error_info == {"reason": told}
    assert (detail.completed_at, batch.pipelines.last_updated) == (NOW, NOW)


def test_a_readiness_without_any_text_ends_the_batch_and_one_that_repeats_does_nothing() -> None:
    """The end is told as one, and the repeat as what it is."""
    assert decide(after(Proceed()), EssaysReady([]), NOW).concluded
    assert not decide(REGISTERED, READY, NOW).concluded
    assert decide(after(READY), READY, NOW).skipped == "its spell-check was started before"


def test_an_outcome_that_overtakes_the_readiness_begins_and_ends_the_pipeline() -> None:
    """In one moment, with the counts of the outcome."""
    batch = after(PhaseConcluded(1, FAILED, 0, 3))

    detail = batch.pipelines.spellcheck
    assert detail is not None
    assert (detail.started_at, detail.completed_at) == (NOW, NOW)
    assert (detail.essay_counts.total, detail.essay_counts.failed) == (3, 3)


def test_of_nothing_everything_is_done() -> None:
    """A pipeline over no essays at all is through."""
    state = progressed(dispatched(REGISTERED.pipelines, 0, NOW), 0, 0, NOW)

    assert state.spellcheck is not None
    assert state.spellcheck.progress_percentage == 100.0


def test_a_retry_is_dated() -> None:
    """Its pipeline starts anew, at that moment."""
    failed = after(READY, PhaseConcluded(1, FAILED, 0, 3))
    later = NOW + timedelta(hours=1)

    taken = act(failed, AGAIN, later)

    assert isinstance(taken, Taken)
    detail = taken.batch.pipelines.spellcheck
    assert detail is not None
    assert (detail.started_at, detail.completed_at) == (later, None)
    assert taken.batch.pipelines.last_updated == later


def test_only_what_failed_is_retried() -> None:
    """More than failed, or nothing, or what was never commanded: each is a bug of ours."""
    state = after(READY, PhaseConcluded(1, FAILED, 0, 3)).pipelines

    for retried in (0, 4):
        with pytest.raises(AssertionError, match=r"^only what failed is retried"):
            redispatched(state, retried, NOW)
    with pytest.raises(AssertionError, match=r"^what is retried was commanded before"):
        redispatched(REGISTERED.pipelines, 1, NOW)


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (Retry(None), "Where the texts of this batch are is not known here; try again later."),
        (
            Retry([]),
            "The essays that failed have no text, so that nothing can be checked again.",
        ),
    ],
)
def test_a_retry_without_texts_is_refused_in_plain_words(action: Retry, told: str) -> None:
    """The teacher reads whether it is worth another try."""
    failed = after(READY, PhaseConcluded(1, FAILED, 0, 3))

    assert act(failed, action, NOW) == Refused(told)


@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        (
            Standing(status=WAITING, deadline=DEADLINE),
            "its deadline has passed, but nobody took it up",
        ),
        (
            Standing(status=WAITING, deadline=DEADLINE, proceed_requested_at=AT),
            "it was told to go on, but nobody took that up",
        ),
        (
            Standing(status=RUNNING, deadline=DEADLINE, dispatched_at=AT),
            "nobody goes on with its check",
        ),
    ],
)
def test_a_stalled_batch_tells_what_it_waits_for(standing: Standing, reason: str) -> None:
    """A teacher, or whoever runs the program, knows where to look."""
    stall = stall_of(standing, PATIENCE, AT + timedelta(days=1))

    assert stall is not None
    assert stall.reason == reason


@pytest.mark.parametrize(
    ("timed_out_at", "stalls"),
    [
        (DEADLINE - 15 * MINUTE, True),
        (DEADLINE - 15 * MINUTE + timedelta(microseconds=1), False),
    ],
)
def test_a_timeout_is_of_this_deadline_if_it_is_within_patience(
    timed_out_at: datetime, stalls: bool
) -> None:
    """What was told a quarter of an hour before was told of an earlier deadline."""
    standing = Standing(
        status=BatchStatus.AWAITING_CONTENT_VALIDATION,
        deadline=DEADLINE,
        timed_out_at=timed_out_at,
    )

    assert (stall_of(standing, PATIENCE, AT + timedelta(days=1)) is not None) is stalls


def test_a_command_is_dated() -> None:
    """The pipeline was asked for, and started, when the batch was ready."""
    batch = after(READY)

    detail = batch.pipelines.spellcheck
    assert detail is not None
    assert (detail.started_at, batch.pipelines.last_updated) == (NOW, NOW)
    assert detail.progress_percentage == 0.0
