"""What the facts of a batch come to as a whole: its status, its deadline, what is missing."""

from typing import Any

import pytest

from huleedu.core.enums import BatchStatus, EssayStatus, PipelineExecutionStatus
from huleedu.results.model import EssayFacts, TextFact
from tests.results.folding import NEVER, essay, result, seen

PARTIAL = PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS
CHECKED: dict[str, Any] = {"requested_attempt": 1, "requested_at": "t1", "outcome_attempt": 1}
OVER: dict[str, Any] = {"outcome_attempt": 1, "outcome_status": PARTIAL, "outcome_at": "t8"}
DONE = BatchStatus.COMPLETED_WITH_FAILURES
RUNNING = BatchStatus.PROCESSING_PIPELINES


@pytest.mark.parametrize(
    ("one", "facts", "patience_ends", "status"),
    [
        (essay(), {}, NEVER, BatchStatus.AWAITING_CONTENT_VALIDATION),
        (essay(), {"ready_at": "t", "ready_count": 1}, NEVER,
         BatchStatus.READY_FOR_PIPELINE_EXECUTION),
        (essay(), {"ready_at": "t", "ready_count": 0}, NEVER,
         BatchStatus.CONTENT_INGESTION_FAILED),
        (essay(requested_attempt=1, requested_at="t"), {}, NEVER, RUNNING),
        (essay(), {"outcome_attempt": 1}, NEVER, RUNNING),
        (essay(**CHECKED, results=[result(good=False)]), OVER, NEVER, DONE),
        (essay(**CHECKED, outcome_is_success=True, results=[result()]), OVER, NEVER, DONE),
        # The outcome overtook the result: wait, but not for ever.
        (essay(**CHECKED, outcome_is_success=True), OVER, NEVER, RUNNING),
        (essay(**CHECKED, outcome_is_success=True), OVER, "t8", RUNNING),
        (essay(**CHECKED, outcome_is_success=True), OVER, "t9", DONE),
        # A retry is under way.
        (essay(requested_attempt=2, requested_at="t9"), OVER, "t9", RUNNING),
    ],
)  # fmt: skip
def test_the_status_of_a_batch_is_its_furthest_fact(
    one: EssayFacts, facts: dict[str, Any], patience_ends: str, status: BatchStatus
) -> None:
    """From waiting to its outcome; only an end has a time."""
    view = seen(one, patience_ends=patience_ends, **facts)

    assert view.status is status
    ends = {DONE: "t8", BatchStatus.CONTENT_INGESTION_FAILED: "t"}
    assert (view.is_finished, view.finished_at) == (status in ends, ends.get(status))


def test_what_failed_is_done_too() -> None:
    """The words of a batch under check count every essay that has an end."""
    good, bad = essay("a", results=[result()]), essay("b", results=[result(good=False)])

    view = seen(good, bad, essay("c"))

    assert view.status_text == "Being checked: 2 of 3 are done"


def test_one_essay_of_many_that_is_not_settled_keeps_the_batch_open() -> None:
    """An outcome waits for each of the results that it speaks of."""
    settled = essay("a", **CHECKED, outcome_is_success=True, results=[result()])
    waiting = essay("b", **CHECKED, outcome_is_success=True)

    assert seen(settled, waiting, **OVER).status is RUNNING
    assert seen(settled, waiting, **OVER).attempt == 1
    assert seen(settled, essay("b", requested_attempt=3, requested_at="t9"), **OVER).attempt == 3


@pytest.mark.parametrize(
    ("facts", "overdue"),
    [
        ({}, False),
        ({"deadline": "t5"}, False),
        ({"timed_out_at": "t5"}, True),
        ({"timed_out_at": "t5", "deadline": "t4"}, True),
        ({"timed_out_at": "t5", "deadline": "t5"}, True),
        ({"timed_out_at": "t5", "deadline": "t6"}, False),
        ({"timed_out_at": "t5", "ready_at": "t6", "ready_count": 1}, False),
    ],
)
def test_a_deadline_has_passed_unless_a_later_one_was_set(
    facts: dict[str, Any], overdue: bool
) -> None:
    """The batch and each essay without a text say so, until it is ready."""
    view = seen(essay(), essay("b", is_ready=True), **facts)

    assert view.status_text.endswith("; the deadline has passed") is overdue
    assert view.essays[0].status_text.endswith("; the deadline has passed") is overdue


def test_a_text_is_missing_until_it_comes_and_afterwards_if_the_batch_went_on_without() -> None:
    """Before readiness by what was announced, afterwards by what ELS took."""
    texts = [TextFact(storage_id="t1", said_at="t1")]
    late, never = essay("late", texts=texts), essay("never")
    taken = essay("taken", is_ready=True, ready_storage_id="t")

    assert seen(late, never).missing_essay_ids == ["never"]
    closed = seen(taken, late, never, ready_at="t2", ready_count=1)
    assert closed.missing_essay_ids == ["late", "never"]
    assert closed.essays[0].status is EssayStatus.READY_FOR_PROCESSING
    assert closed.essays[1].status is EssayStatus.CONTENT_INGESTION_FAILED
