"""Why a wish changes nothing, in the words that the log and the metric show."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from huleedu.core.enums import RefusalReason
from huleedu.els.decide import cancel, extend, proceed, register, take
from huleedu.els.model import (
    BatchView,
    Content,
    ReadinessDecision,
    Refusal,
    Registration,
    Text,
)
from tests.support.builders import AT

LATER = AT + timedelta(hours=1)
WAITING = BatchView(batch_id="b", registered=frozenset({"e"}), deadline=AT)
READY = BatchView(batch_id="b", registered=frozenset({"e"}), filled=1, ready=True)
EMPTY = BatchView(batch_id="b", registered=frozenset({"e"}), ready=True, closed=True)
CLOSED = BatchView(
    batch_id="b", registered=frozenset({"e", "f"}), filled=1, ready=True, closed=True
)
CANCELLED = BatchView(batch_id="b", registered=frozenset({"e"}), cancelled=True)
TIMED_OUT = BatchView(batch_id="b", registered=frozenset({"e"}), timed_out=AT)
EARLY = BatchView(batch_id="b", proceeding=True)


def until(moments: int) -> Callable[[BatchView], ReadinessDecision]:
    return lambda view: extend(view, AT + moments * timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("view", "wish", "words"),
    [
        (WAITING, until(0), "this is its deadline already"),
        (WAITING, until(1), ""),
        (WAITING, until(-1), ""),
        (TIMED_OUT, until(0), "a later deadline has passed already"),
        (TIMED_OUT, until(-1), "a later deadline has passed already"),
        (TIMED_OUT, until(1), ""),
        (READY, until(1), "the batch is ready already"),
        (CANCELLED, until(1), "the batch is cancelled"),
        (WAITING, proceed, ""),
        (TIMED_OUT, proceed, ""),
        (READY, proceed, "the batch is ready already"),
        (CANCELLED, proceed, "the batch is cancelled"),
        (BatchView(batch_id="b"), proceed, ""),
        (EARLY, proceed, "it was told so before"),
        (WAITING, cancel, ""),
        (READY, cancel, ""),
        (CLOSED, cancel, ""),
        (EMPTY, cancel, ""),
        (CANCELLED, cancel, "the batch is cancelled already"),
    ],
)
def test_a_wish_that_is_not_allowed_says_why_and_changes_nothing(
    view: BatchView, wish: Callable[[BatchView], ReadinessDecision], words: str
) -> None:
    """And one that is allowed says nothing of the kind."""
    decision = wish(view)

    assert decision.skipped == words
    assert (decision.view == view) == bool(words)
    if words:
        assert decision == ReadinessDecision(view=view, skipped=words)


def test_a_batch_that_proceeds_is_ready_and_closed() -> None:
    """It is announced now; before its registration that waits for it."""
    ready = proceed(WAITING)
    early = proceed(BatchView(batch_id="b"))

    assert (ready.became_ready, ready.view.ready, ready.view.closed) == (True, True, True)
    assert (early.became_ready, early.view.ready, early.view.closed) == (False, False, False)
    assert early.view.proceeding
    assert not ready.view.proceeding


@pytest.mark.parametrize(
    ("view", "essay_id", "reason"),
    [
        (READY, "e", RefusalReason.BATCH_READY),
        (CLOSED, "e", RefusalReason.BATCH_CLOSED),
        (CANCELLED, "e", RefusalReason.BATCH_CANCELLED),
        (WAITING, "stranger", RefusalReason.NOT_REGISTERED),
    ],
)
def test_a_text_that_is_not_taken_is_refused_for_what_closed_the_batch(
    view: BatchView, essay_id: str, reason: RefusalReason
) -> None:
    """Whose text it was and why, so that its teacher can be told."""
    decision = take(view, [Content("b", essay_id, Text("s"))])

    assert decision.refused == [Refusal("b", essay_id, "s", reason)]
    assert decision.view == view


def test_early_texts_of_strangers_are_refused_at_the_registration() -> None:
    """Each with the text that was kept until then."""
    early = BatchView(batch_id="b", slots={"e": "s", "stranger": "t"})

    decision = register(early, Registration("b", ["e", "f"]))

    assert decision.refused == [Refusal("b", "stranger", "t", RefusalReason.NOT_REGISTERED)]
    assert list(decision.dropped) == ["stranger"]
    assert decision.view.slots == {"e": "s"}
