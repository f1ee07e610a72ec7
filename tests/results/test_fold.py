"""What facts come to, case by case: the plain values that the store hands over."""

from typing import Any

import pytest

from huleedu.core.enums import BatchStatus, EssayStatus, PipelineExecutionStatus, RefusalReason
from huleedu.results.decide import view_of
from huleedu.results.model import (
    BatchView,
    Counts,
    EssayView,
    RefusedText,
    ResultFact,
    TextFact,
)
from tests.results.folding import NEVER, batch, essay, only, result, seen

PARTIAL = PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS
TOO_LATE = "The check did not finish in time; try again."
SUCCESS, FAILED = EssayStatus.SPELLCHECKED_SUCCESS, EssayStatus.SPELLCHECK_FAILED


def test_a_batch_is_shown_with_all_that_is_known_of_it() -> None:
    """A checked essay, one that failed, one without a text, and texts that were not taken."""
    facts = batch(
        essay(
            "a",
            is_ready=True,
            requested_attempt=1,
            requested_at="t3",
            outcome_attempt=1,
            outcome_is_success=True,
            texts=[TextFact(storage_id="o1t5e", student_name="Anna", file_name="a.txt")],
            results=[result()],
        ),
        essay(
            "c",
            is_ready=True,
            ready_storage_id="tc",
            requested_attempt=1,
            requested_at="t3",
            outcome_attempt=1,
            results=[result(good=False)],
        ),
        essay("b", texts=[TextFact(storage_id="tb", refused_because=RefusalReason.BATCH_CLOSED)]),
        strangers=[
            ("0", TextFact(storage_id="tx", refused_because=RefusalReason.NOT_REGISTERED)),
            ("0", TextFact(storage_id="ta", refused_because=RefusalReason.NOT_REGISTERED)),
        ],
        correlation_id="cor",
        deadline="d",
        timed_out_at="t1",
        proceeded_at="t2",
        ready_at="t2",
        ready_count=2,
        outcome_attempt=1,
        outcome_status=PARTIAL,
        outcome_at="t8",
    )

    assert view_of(facts, NEVER) == BatchView(
        batch_id="b",
        status=BatchStatus.COMPLETED_WITH_FAILURES,
        status_text="Done, but some essays failed",
        is_finished=True,
        correlation_id="cor",
        expected_essay_count=3,
        attempt=1,
        counts=Counts(
            expected=3, texts_received=2, pending=0, succeeded=1, failed=2, corrections=4
        ),
        registered_at="t0",
        updated_at="t9",
        finished_at="t8",
        deadline="d",
        timed_out_at="t1",
        proceeded_at="t2",
        cancelled_at=None,
        cancelled_by=None,
        cancel_reason=None,
        missing_essay_ids=["b"],
        essays=[
            EssayView(
                essay_id="a",
                status=SUCCESS,
                status_text="Checked",
                attempt=1,
                student_name="Anna",
                file_name="a.txt",
                corrections_made=4,
                original_storage_id="o1t5e",
                corrected_storage_id="c1t5e",
                log_storage_id="l1t5e",
            ),
            EssayView(
                essay_id="c",
                status=FAILED,
                status_text="Could not be checked",
                attempt=1,
                error="broken 1t5e",
                original_storage_id="o1t5e",
            ),
            EssayView(
                essay_id="b",
                status=EssayStatus.CONTENT_INGESTION_FAILED,
                status_text="No text came; the batch went on without it",
                attempt=0,
            ),
        ],
        refused_texts=[
            _refused(
                "0", "ta", RefusalReason.NOT_REGISTERED, "The batch has no essay with this id"
            ),
            _refused(
                "0", "tx", RefusalReason.NOT_REGISTERED, "The batch has no essay with this id"
            ),
            _refused(
                "b", "tb", RefusalReason.BATCH_CLOSED, "The batch was closed before this text came"
            ),
        ],
    )


def _refused(essay_id: str, storage_id: str, reason: RefusalReason, words: str) -> RefusedText:
    return RefusedText(
        essay_id=essay_id,
        storage_id=storage_id,
        file_name=None,
        student_name=None,
        reason=reason,
        reason_text=words,
    )


def test_a_refused_text_keeps_its_name_and_its_author() -> None:
    """The teacher sees whose file was turned away."""
    text = TextFact(
        storage_id="t",
        file_name="f.txt",
        student_name="Bo",
        refused_because=RefusalReason.BATCH_READY,
    )

    (refused,) = seen(essay(texts=[text])).refused_texts

    assert (refused.file_name, refused.student_name) == ("f.txt", "Bo")
    assert only(essay(texts=[text])).status is None


@pytest.mark.parametrize(
    ("facts", "attempt"),
    [
        # A checker that names no attempt answers the one that was current when it spoke.
        ({}, 1),
        ({"outcome_attempt": 2}, 2),
        ({"requested_attempt": 2, "requested_at": "t4"}, 2),
        ({"requested_attempt": 2, "requested_at": "t5"}, 2),
        ({"requested_attempt": 2, "requested_at": "t6"}, 1),
        ({"requested_attempt": 1, "requested_at": "t6"}, 1),
        ({"requested_attempt": 3, "requested_at": "t6"}, 2),
    ],
)
def test_a_result_without_an_attempt_counts_for_the_current_one(
    facts: dict[str, Any], attempt: int
) -> None:
    """An essay is checked when the newest attempt has its answer, else it waits for one."""
    view = only(essay(results=[result(0)], outcome_is_success=True, **facts))

    newest = max(facts.get("requested_attempt", 0), facts.get("outcome_attempt", 0), 1)
    expected = SUCCESS if attempt == newest else EssayStatus.AWAITING_SPELLCHECK
    assert (view.status, view.attempt) == (expected, newest)


def test_of_several_answers_in_an_attempt_the_first_counts() -> None:
    """First by its sender's clock, then by its id; another attempt's never."""
    answers = [
        result(2, at="t7", by="a"),
        result(2, at="t6", by="y", good=False),
        result(2, at="t6", by="x"),
        result(1, at="t1"),
    ]

    view = only(essay(requested_attempt=2, requested_at="t2", results=answers))

    assert (view.status, view.corrected_storage_id) == (SUCCESS, "c2t6x")
    assert view.error is None


def test_an_outcome_rests_on_the_newest_answer_that_agrees_with_it() -> None:
    """The newest attempt before the latest words; what says the contrary does not count."""
    answers = [
        result(1, at="t9", by="z"),
        result(2, at="t6", by="y"),
        result(2, at="t6", by="x"),
        result(2, at="t5", by="zz"),
        result(3, at="t9", good=False),
    ]
    concluded: dict[str, Any] = {"requested_attempt": 3, "requested_at": "t2", "outcome_attempt": 3}

    good = only(essay(results=answers, outcome_is_success=True, **concluded))
    bad = only(essay(results=answers, **concluded))

    assert (good.status, good.corrected_storage_id, good.attempt) == (SUCCESS, "c2t6y", 3)
    assert (bad.status, bad.error) == (FAILED, "broken 3t9e")


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({}, EssayStatus.CONTENT_INGESTION_FAILED),
        ({"is_ready": True}, FAILED),
        ({"requested_attempt": 1, "requested_at": "t1"}, FAILED),
        ({"results": [result()]}, FAILED),
        ({"results": [result(good=False)]}, FAILED),
    ],
)
def test_an_outcome_counts_an_essay_without_a_text_as_failed(
    facts: dict[str, Any], status: EssayStatus
) -> None:
    """It is told as missing, unless something shows that its check was asked for."""
    view = only(essay(outcome_attempt=1, **facts), ready_at="t1", ready_count=1)

    assert view.status is status


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([], TOO_LATE),
        ([result(1, good=False)], TOO_LATE),
        ([result(2, good=False)], "broken 2t5e"),
        ([result(2)], TOO_LATE),
    ],
)
def test_an_essay_that_failed_says_why(answers: list[ResultFact], error: str) -> None:
    """In the checker's words if it spoke of the attempt that failed."""
    tried: dict[str, Any] = {"requested_attempt": 2, "requested_at": "t2", "outcome_attempt": 2}

    assert only(essay(results=answers, **tried)).error == error


def test_a_failure_that_names_no_attempt_is_that_of_its_time() -> None:
    """Said after the newest request it is the reason; said before, it was another attempt's."""
    tried: dict[str, Any] = {"requested_attempt": 2, "outcome_attempt": 2}
    answer = result(0, good=False, at="t5")

    late = only(essay(results=[answer], requested_at="t4", **tried))
    early = only(essay(results=[answer], requested_at="t6", **tried))

    assert (late.error, early.error) == ("broken 0t5e", TOO_LATE)


def test_an_outcome_speaks_of_essays_too_that_were_done_before() -> None:
    """Such an essay keeps the attempt in which it was checked."""
    view = only(
        essay(
            requested_attempt=1,
            requested_at="t1",
            outcome_attempt=2,
            outcome_is_success=True,
            results=[result()],
        )
    )

    assert (view.status, view.attempt, view.corrections_made) == (SUCCESS, 1, 4)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"results": [result(at="t5")]}, SUCCESS),
        ({"results": [result(at="t6")]}, EssayStatus.ESSAY_CRITICAL_FAILURE),
        (
            {"results": [result(at="t6")], "outcome_attempt": 1, "outcome_is_success": True},
            SUCCESS,
        ),
        ({"outcome_attempt": 1, "outcome_is_success": True}, SUCCESS),
        (
            {
                "results": [result(at="t6")],
                "requested_attempt": 1,
                "requested_at": "t1",
                "outcome_attempt": 1,
                "outcome_is_success": True,
            },
            SUCCESS,
        ),
        ({"results": [result(good=False)]}, EssayStatus.ESSAY_CRITICAL_FAILURE),
        ({"requested_attempt": 1, "requested_at": "t1"}, EssayStatus.ESSAY_CRITICAL_FAILURE),
        ({}, EssayStatus.ESSAY_CRITICAL_FAILURE),
    ],
)
def test_a_cancelled_batch_keeps_what_was_terminal(
    facts: dict[str, Any], status: EssayStatus
) -> None:
    """An essay that was checked before the cancellation stays so; all else was stopped."""
    view = only(essay(**facts), cancelled_at="t5", cancel_reason="wrong class")

    assert view.status is status
    stopped = status is EssayStatus.ESSAY_CRITICAL_FAILURE
    assert view.error == ("The batch was cancelled: wrong class" if stopped else None)
    assert (view.corrected_storage_id is None) or not stopped


def test_an_essay_whose_text_never_came_stays_so_in_a_cancelled_batch() -> None:
    """Its batch had gone on without it: that was terminal."""
    one, other = essay("a", is_ready=True), essay("b")

    view = seen(one, other, ready_at="t1", ready_count=1, cancelled_at="t5", cancelled_by="Eva")

    assert view.essays[1].status is EssayStatus.CONTENT_INGESTION_FAILED
    assert (view.status, view.status_text) == (BatchStatus.CANCELLED, "Cancelled")
    assert (view.finished_at, view.cancelled_at, view.cancelled_by) == ("t5", "t5", "Eva")
    assert seen(one, cancelled_at="t5", cancel_reason="why").status_text == "Cancelled: why"
    assert seen(one, cancelled_at="t5", cancel_reason="why").cancel_reason == "why"


def test_the_text_of_an_essay_is_the_one_that_counted() -> None:
    """What was checked, else what was asked for, else what ELS took, else the latest announced."""
    texts = [
        TextFact(storage_id="t1", said_at="t1", event_id="z", file_name="1.txt"),
        TextFact(storage_id="t2", said_at="t2", event_id="b", file_name="2.txt"),
        TextFact(storage_id="t3", said_at="t2", event_id="a", file_name="3.txt"),
    ]

    announced = only(essay(texts=texts))
    ready = only(essay(texts=texts, ready_storage_id="t3"))

    assert (announced.original_storage_id, announced.file_name) == ("t2", "2.txt")
    assert announced.status is EssayStatus.READY_FOR_PROCESSING
    assert (ready.original_storage_id, ready.file_name) == ("t3", "3.txt")
    assert only(essay(texts=texts, results=[result()])).original_storage_id == "o1t5e"


def test_a_text_that_was_refused_is_not_the_text_of_its_essay() -> None:
    """Although it was announced, and later than the one that counts."""
    taken = TextFact(storage_id="t1", said_at="t1")
    late = TextFact(storage_id="t2", said_at="t2", refused_because=RefusalReason.BATCH_READY)
    never_announced = TextFact(storage_id="t3")

    view = only(essay(texts=[taken, late, never_announced]))

    assert view.original_storage_id == "t1"
    assert only(essay(texts=[never_announced])).original_storage_id is None
