"""What a teacher may do with a batch, and when: the contract's table, row by row."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from huleedu.bos.actions import Action, Cancel, Extend, Proceed, Refused, Retry, Taken, act
from huleedu.bos.decide import decide
from huleedu.bos.model import (
    Batch,
    EssaysReady,
    Fact,
    PhaseConcluded,
    ReadinessTimedOut,
    ResultsCounted,
)
from huleedu.core.enums import BatchStatus, Language, PipelineExecutionStatus
from huleedu.core.pipeline_state import EssayProcessingCounts, ProcessingPipelineState
from tests.bos.building import FAILED, PARTIAL, SUCCESS, references_to
from tests.support.builders import AT

NOW = AT + timedelta(hours=1)
NEXT_DAY = AT + timedelta(days=1)
READY = EssaysReady(references_to(["a", "b", "c"]))
AGAIN = Retry(references_to(["b", "c"]))
REGISTERED = Batch(
    batch_id="batch",
    correlation_id=UUID(int=1),
    language=Language.SWEDISH,
    essay_count=3,
    status=BatchStatus.AWAITING_CONTENT_VALIDATION,
    attempt=1,
    pipelines=ProcessingPipelineState(batch_id="batch", last_updated=AT),
)


def after(*steps: Fact | Action, batch: Batch = REGISTERED) -> Batch:
    for step in steps:
        if isinstance(step, Action):
            taken = act(batch, step, NOW)
            assert isinstance(taken, Taken), taken
            batch = taken.batch
        else:
            batch = decide(batch, step, NOW).batch
    return batch


def counts(batch: Batch) -> EssayProcessingCounts:
    assert batch.pipelines.spellcheck is not None
    return batch.pipelines.spellcheck.essay_counts


def as_counts(total: int, pending: int, successful: int, failed: int) -> EssayProcessingCounts:
    return EssayProcessingCounts(
        total=total,
        pending_dispatch_or_processing=pending,
        successful=successful,
        failed=failed,
    )


EVERY_ACTION: Sequence[Action] = (Extend(NEXT_DAY), Proceed(), Cancel(), AGAIN)
STATES: dict[str, tuple[Batch, set[type]]] = {
    "waiting": (REGISTERED, {Extend, Proceed, Cancel}),
    "timed out": (after(ReadinessTimedOut(AT, ("a",))), {Extend, Proceed, Cancel}),
    "extended": (after(Extend(NEXT_DAY + timedelta(days=1))), {Extend, Proceed, Cancel}),
    "told to go on": (after(Proceed()), {Cancel}),
    "ready": (after(READY), {Cancel}),
    "being checked": (after(READY, ResultsCounted(1, 0)), {Cancel}),
    "done": (after(READY, PhaseConcluded(1, SUCCESS, 3, 0)), set()),
    "done with failures": (after(READY, PhaseConcluded(1, PARTIAL, 1, 2)), {Retry}),
    "all failed": (after(READY, PhaseConcluded(1, FAILED, 0, 3)), {Retry}),
    "checked again": (after(READY, PhaseConcluded(1, PARTIAL, 1, 2), AGAIN), {Cancel}),
    "went on without any": (after(Proceed(), EssaysReady([])), set()),
    "cancelled": (after(Cancel()), set()),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", EVERY_ACTION, ids=lambda action: type(action).__name__)
def test_an_action_is_taken_where_the_table_allows_it(state: str, action: Action) -> None:
    """Everywhere else it is refused, with a sentence that says why."""
    batch, allowed = STATES[state]

    decided = act(batch, action, NOW)

    assert isinstance(decided, Taken) == (type(action) in allowed)
    if isinstance(decided, Refused):
        assert decided.reason.endswith(".")


def test_an_extension_is_the_new_deadline_and_closes_nothing() -> None:
    """Each is counted, and said later than the one before even where the clock stands still."""
    once = after(ReadinessTimedOut(AT, ("a",)), Extend(NEXT_DAY))
    twice = after(Extend(NEXT_DAY + timedelta(days=1)), batch=once)

    assert (once.status, once.deadline, once.extensions) == (REGISTERED.status, NEXT_DAY, 1)
    assert (twice.deadline, twice.extensions) == (NEXT_DAY + timedelta(days=1), 2)
    assert once.extended_at is not None
    assert twice.extended_at is not None
    assert twice.extended_at > once.extended_at


def test_the_same_extension_again_says_nothing_new() -> None:
    """The wish is kept already."""
    once = after(Extend(NEXT_DAY))

    assert act(once, Extend(NEXT_DAY), NOW) == Taken(once, is_news=False)


def test_cancelling_stops_the_pipeline_and_the_counts_add_up() -> None:
    """What had a good result stays so; everything else has failed."""
    batch = after(READY, ResultsCounted(1, 1), Cancel("the wrong class", "Eva"))

    assert batch.status is BatchStatus.CANCELLED
    assert batch.cancellation is not None
    assert (batch.cancellation.reason, batch.cancellation.cancelled_by) == (
        "the wrong class",
        "Eva",
    )
    assert counts(batch) == as_counts(3, 0, 1, 2)
    assert batch.pipelines.spellcheck is not None
    assert batch.pipelines.spellcheck.status is PipelineExecutionStatus.CANCELLED
    assert batch.pipelines.spellcheck.error_info == {
        "reason": "the batch was cancelled: the wrong class"
    }


def test_nothing_that_comes_later_moves_a_cancelled_batch() -> None:
    """Neither readiness nor results nor an outcome count, before and after it was ready."""
    for cancelled in (after(Cancel()), after(READY, ResultsCounted(1, 0), Cancel())):
        for fact in (READY, ResultsCounted(1, 1), PhaseConcluded(1, PARTIAL, 2, 1)):
            decision = decide(cancelled, fact, NOW)

            assert decision.skipped == "the batch is cancelled"
            assert not decision.to_spellcheck
            assert (decision.batch.status, decision.batch.pipelines) == (
                BatchStatus.CANCELLED,
                cancelled.pipelines,
            )


def test_a_retry_is_a_new_attempt_at_what_failed_and_has_a_text() -> None:
    """The counts go on from the outcome: one is done, one never came, one is checked again."""
    concluded = after(EssaysReady(references_to(["a", "b"])), PhaseConcluded(1, PARTIAL, 1, 2))
    again = after(Retry(references_to(["b"])), batch=concluded)
    checked = after(ResultsCounted(1, 0), batch=again)
    ended = after(PhaseConcluded(2, PARTIAL, 2, 1), batch=checked)

    assert (again.status, again.attempt) == (BatchStatus.PROCESSING_PIPELINES, 2)
    assert [counts(batch) for batch in (concluded, again, checked, ended)] == [
        as_counts(3, 0, 1, 2),
        as_counts(3, 1, 1, 1),
        as_counts(3, 0, 2, 1),
        as_counts(3, 0, 2, 1),
    ]
    assert again.pipelines.spellcheck is not None
    assert again.pipelines.spellcheck.status is PipelineExecutionStatus.DISPATCH_INITIATED
    assert ended.status is BatchStatus.COMPLETED_WITH_FAILURES


def test_the_outcome_of_an_older_attempt_changes_nothing() -> None:
    """Nor does a readiness that comes again."""
    again = after(READY, PhaseConcluded(1, PARTIAL, 1, 2), AGAIN)

    assert decide(again, PhaseConcluded(1, PARTIAL, 1, 2), NOW).batch == again
    assert decide(again, READY, NOW).batch == again


@pytest.mark.parametrize(
    ("essays", "why"), [(None, "not known here"), ([], "have no text, so that nothing")]
)
def test_a_retry_needs_texts(essays: None, why: str) -> None:
    """Essays whose text never came cannot be checked again."""
    failed = after(READY, PhaseConcluded(1, FAILED, 0, 3))

    refused = act(failed, Retry(essays), NOW)

    assert isinstance(refused, Refused)
    assert why in refused.reason


def test_refusals_speak_to_a_teacher() -> None:
    """The reason tells what state the batch is in."""
    told = {
        name: [
            decided.reason
            for action in EVERY_ACTION
            if isinstance(decided := act(batch, action, NOW), Refused)
        ]
        for name, (batch, _) in STATES.items()
    }

    assert told["waiting"] == [
        "The batch has not ended yet; what fails can be checked again afterwards."
    ]
    assert told["told to go on"][0] == (
        "The batch was told already to go on with the essays that are there."
    )
    assert told["ready"][0] == "The batch waits for no more texts: it is being checked."
    assert told["cancelled"][2] == "The batch was cancelled already."
    assert (
        told["done"][2]
        == "The batch is done: every essay was checked. There is nothing left to stop."
    )


def test_a_batch_that_was_told_to_go_on_waits_for_no_later_deadline() -> None:
    """Going on cannot be taken back by another deadline."""
    refused = act(replace(REGISTERED, proceed_requested_at=NOW), Extend(NEXT_DAY), NOW)

    assert isinstance(refused, Refused)
