"""What becomes of a delivery that failed."""

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.errors import (
    BrokerUnavailable,
    Conflict,
    MalformedMessage,
    Misconfigured,
    NotFound,
    PeerUnavailable,
    Rejected,
    StoreUnavailable,
    TooLarge,
    TooManyDeadLetters,
    Unavailable,
)
from huleedu.core.message import Message
from huleedu.transport.failures import (
    PAUSE_MAX_SECONDS,
    Verdict,
    dead_letter,
    dead_letter_cause,
    pause_seconds,
    verdict,
)

NOW = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
MAY_HEAL = [Unavailable, StoreUnavailable, BrokerUnavailable, PeerUnavailable]
WRONG = [Rejected, MalformedMessage, NotFound, Conflict, TooLarge]
OURS = [ZeroDivisionError, KeyError, AssertionError, Misconfigured]


@pytest.mark.parametrize("kind", [*MAY_HEAL, *WRONG, *OURS, TooManyDeadLetters])
@given(st.integers(2, 500), st.integers(1, 10**6))
def test_several_messages_always_come_again(
    kind: type[Exception], messages: int, attempt: int
) -> None:
    """A delivery of several is never put aside: the one at fault is to be found first."""
    assert verdict(kind("x"), messages, attempt) is Verdict.AGAIN_LATER


@given(st.integers(1, 10**6))
def test_one_dead_letter_too_many_stops_the_group(attempt: int) -> None:
    """It is neither tried again nor set aside, whichever attempt it is."""
    assert verdict(TooManyDeadLetters("x"), 1, attempt) is Verdict.STOP


@pytest.mark.parametrize(
    ("kinds", "again"),
    [(MAY_HEAL, [1, 4, 5, 6, 10**6]), (WRONG, []), (OURS, [1, 4])],
    ids=["may heal", "wrong", "ours"],
)
def test_one_message_is_tried_as_its_fault_deserves(
    kinds: list[type[Exception]], again: list[int]
) -> None:
    """What may heal is tried for ever, what is wrong never again, a bug of ours five times."""
    for kind in kinds:
        tried = [n for n in (1, 4, 5, 6, 10**6) if verdict(kind("x"), 1, n) is Verdict.AGAIN_LATER]

        assert tried == again, kind


@given(st.integers(1, 10**6), st.integers())
def test_pauses_double_up_to_five_seconds(attempt: int, seed: int) -> None:
    """The n-th pause is between half and all of 0.1 s doubled n - 1 times, at most 5 s."""
    longest = min(PAUSE_MAX_SECONDS, 0.1 * 2 ** min(attempt - 1, 20))

    assert longest / 2 <= pause_seconds(attempt, Random(seed)) <= longest


def test_a_dead_letter_does_not_grow_when_it_comes_again() -> None:
    """Played back and put aside once more, a message has as many headers as before, with the
    newest cause; its bytes never change."""
    message = Message("t", b"\xff", b"\x00", {"owner": "o7"})
    first = dead_letter(message, dead_letter_cause(Conflict("x" * 5_000), message, "g", 1, NOW))
    replayed = Message("t", first.key, first.value, first.headers)
    second = dead_letter(replayed, dead_letter_cause(KeyError("y"), replayed, "h", 5, NOW))

    assert (second.topic, second.key, second.value) == ("t.dlq", b"\xff", b"\x00")
    assert second.headers.keys() == first.headers.keys()
    assert second.headers["event-id"] == message.event_id
    assert len(first.headers["dead-letter-error-message"]) == 1_000
    assert second.headers["dead-letter-group"] == "h"
    assert second.headers["dead-letter-attempts"] == "5"
    assert second.headers["dead-letter-failed-at"] == "2026-01-12T08:00:00.000000Z"
