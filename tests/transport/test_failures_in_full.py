"""What operators read and what pauses are, to the letter and to the number."""

from datetime import UTC, datetime
from random import Random

import pytest
from msgspec.structs import replace

from huleedu.core.errors import Rejected, TooManyDeadLetters
from huleedu.core.ids import derived_event_id
from huleedu.core.message import Message
from huleedu.transport.breaker import DeadLetterBreaker, Tally, stop_told
from huleedu.transport.failures import dead_letter_cause, pause_seconds
from huleedu.transport.replays import replayed, why_not


class Always(Random):
    """Chance that comes out the same each time, from 0 up to but not 1."""

    def __init__(self, outcome: float) -> None:
        super().__init__()
        self._outcome = outcome

    def random(self) -> float:
        return self._outcome


@pytest.mark.parametrize(
    ("attempt", "longest"),
    [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.6), (6, 3.2), (7, 5.0), (1_000_000, 5.0)],
)
def test_the_longest_pause_doubles_and_chance_halves_it_at_most(
    attempt: int, longest: float
) -> None:
    """Chance spreads the pauses over the upper half, so that those who failed together do not
    come back together."""
    pauses = [pause_seconds(attempt, Always(outcome)) for outcome in (0.0, 0.5, 0.999)]

    assert pauses == pytest.approx([longest * 0.5, longest * 0.75, longest * 0.9995])


def test_what_stops_a_group_is_told_in_one_sentence() -> None:
    """With what to do before the process is restarted."""
    assert stop_told("els", "huleedu.batch.v1", TooManyDeadLetters("60 of 100")) == (
        "els stopped on huleedu.batch.v1: 60 of 100; correct the cause, look at the dead letters, "
        "and restart the process"
    )


def test_the_last_reason_is_told_also_where_a_delivery_was_asked_about() -> None:
    """The tally of a delivery hands on why its messages would be set aside."""
    breaker = DeadLetterBreaker(window_messages=1)

    with pytest.raises(TooManyDeadLetters, match="the last for Rejected: no such batch"):
        Tally(breaker).set_aside([True], Rejected("no such batch"))


def test_of_a_letter_that_was_cut_its_length_is_told_in_few_letters() -> None:
    """The header may come from anywhere; what is shown of it is bounded."""
    letter = Message("t.dlq", b"k", b"x" * 1_000, {"dead-letter-cut-from-bytes": "9" * 99})

    assert why_not(letter) == f"only its first 1,000 bytes of {'9' * 20} are kept"


LETTER = Message(
    "t.dlq",
    b"k",
    b"v",
    {
        "event-id": "e1",
        "owner": "o7",
        "dead-letter-group": "els",
        "dead-letter-attempts": "5",
        "dead-letter-error-message": "x",
        "dead-letter-failed-at": "2026-01-12T08:00:00.000000Z",
    },
)


def test_a_replay_carries_its_own_headers_and_four_of_its_history() -> None:
    """How often it was tried and replayed, since when it fails, and whom it is for."""
    assert replayed(LETTER) == Message(
        "t",
        b"k",
        b"v",
        {
            "event-id": str(derived_event_id("replay", "e1", "els")),
            "owner": "o7",
            "dead-letter-replays": "1",
            "dead-letter-attempts": "5",
            "dead-letter-group": "els",
            "dead-letter-first-failed-at": "2026-01-12T08:00:00.000000Z",
        },
    )


def test_a_replay_without_a_history_makes_none_up() -> None:
    """What others put among the dead letters may name no group and no time."""
    bare = Message("t.dlq", b"k", b"v", {"event-id": "e1"})

    assert replayed(bare).headers == {
        "event-id": str(derived_event_id("replay", "e1", "")),
        "dead-letter-replays": "1",
        "dead-letter-attempts": "0",
    }


@pytest.mark.parametrize(
    ("fault", "code"),
    [(Rejected("no such batch"), Rejected("x").code.value), (KeyError("no"), "UNKNOWN_ERROR")],
)
def test_a_dead_letter_tells_its_whole_cause(fault: Exception, code: str) -> None:
    """What failed, where it came from, in whose hands, how often and when."""
    message = replace(Message("t", b"k", b"v", {}), partition=2, offset=7)
    moment = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)

    assert dead_letter_cause(fault, message, "els", 5, moment) == {
        "dead-letter-origin-partition": "2",
        "dead-letter-origin-offset": "7",
        "dead-letter-origin-topic": "t",
        "dead-letter-error-class": type(fault).__name__,
        "dead-letter-error-code": code,
        "dead-letter-error-message": str(fault),
        "dead-letter-attempts": "5",
        "dead-letter-first-failed-at": "2026-01-12T08:00:00.000000Z",
        "dead-letter-failed-at": "2026-01-12T08:00:00.000000Z",
        "dead-letter-group": "els",
    }
    assert not any(
        "origin-" in one and "topic" not in one
        for one in dead_letter_cause(fault, Message("t", b"k", b"v", {}), "els", 5, moment)
    )


def test_a_message_is_judged_by_those_before_it_alone() -> None:
    """Half of the last four are bad at each place; what comes later is judged in its turn."""
    DeadLetterBreaker(window_messages=4).check([True, False, False, True, True], Rejected("x"))

    with pytest.raises(TooManyDeadLetters, match="3 of its last 4 messages"):
        DeadLetterBreaker(window_messages=4).check([True, False, True, True], Rejected("x"))
