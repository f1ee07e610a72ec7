"""When a group stops rather than set aside most of what it hears."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.errors import Rejected, TooManyDeadLetters
from huleedu.transport.breaker import WINDOW_MESSAGES, DeadLetterBreaker, Tally, stop_told

REASON = Rejected("against the rule")
# Long runs of either kind, so that the bound is met from both sides.
outcomes = st.lists(
    st.tuples(st.booleans(), st.integers(1, 120)).map(lambda run: [run[0]] * run[1]), max_size=8
).map(lambda runs: [one for run in runs for one in run])


def _admitted(said: Sequence[bool]) -> list[bool]:
    """Give the messages to a breaker one by one; return those before the first it refuses."""
    breaker, passed = DeadLetterBreaker(), []
    for aside in said:
        try:
            breaker.check([aside], REASON)
        except TooManyDeadLetters:
            break
        breaker.note([aside])
        passed.append(aside)
    return passed


@given(outcomes)
def test_it_stops_at_the_first_message_too_many_and_not_before(said: list[bool]) -> None:
    """Of any hundred in a row that passed at most half were set aside, or the last one was handled;
    the one refused would have been set aside and made it more."""
    passed = _admitted(said)
    windows = [said[end - WINDOW_MESSAGES : end] for end in range(WINDOW_MESSAGES, len(passed) + 1)]

    assert all(sum(window) <= WINDOW_MESSAGES / 2 or not window[-1] for window in windows)
    if len(passed) < len(said):
        refused = said[: len(passed) + 1][-WINDOW_MESSAGES:]
        assert refused[-1]
        assert len(refused) == WINDOW_MESSAGES
        assert sum(refused) > WINDOW_MESSAGES / 2


@given(outcomes, st.data())
def test_a_delivery_is_judged_like_its_messages_one_by_one(
    said: list[bool], data: st.DataObject
) -> None:
    """However messages are cut into deliveries, one of these is refused exactly when one of its
    messages would be."""
    passed, breaker, at = len(_admitted(said)), DeadLetterBreaker(), 0
    while at < len(said):
        size = data.draw(st.integers(1, len(said) - at))
        if at + size > passed:
            with pytest.raises(TooManyDeadLetters):
                breaker.check(said[at : at + size], REASON)
            return
        breaker.check(said[at : at + size], REASON)
        breaker.note(said[at : at + size])
        at += size

    assert passed == len(said)


def test_where_everything_fails_not_even_a_hundred_pass() -> None:
    """Ninety-nine dead letters, and then none."""
    assert len(_admitted([True] * 500)) == WINDOW_MESSAGES - 1


def test_a_refusal_tells_how_many_and_why() -> None:
    """Whoever is alarmed reads the group, the topic, the share, the last cause and what to do."""
    breaker = DeadLetterBreaker()
    breaker.note([False] * 40 + [True] * 59)
    with pytest.raises(TooManyDeadLetters) as refused:
        breaker.check([True], REASON)
    told = stop_told("els", "huleedu.batch.v1", refused.value)

    assert refused.value.__cause__ is REASON
    for part in ("els", "huleedu.batch.v1", "60 of its last 100", "against the rule", "restart"):
        assert part in told


def test_only_what_was_done_counts() -> None:
    """An attempt that failed as a whole leaves no trace; one that nobody said more of was
    handled."""
    breaker = DeadLetterBreaker()
    Tally(breaker).set_aside([True] * 99, REASON)  # and then its transaction failed
    handled = Tally(breaker)
    handled.done(40)
    partly = Tally(breaker)
    partly.set_aside([True] * 50 + [False] * 10, REASON)
    partly.done(60)

    last = Tally(breaker)
    with pytest.raises(TooManyDeadLetters, match="51 of its last 100"):
        last.set_aside([True], REASON)
