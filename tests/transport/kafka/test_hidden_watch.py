"""When a relay settles anew because readers are not shown what it published."""

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from huleedu.transport.kafka.hidden_watch import LOOK_SECONDS, STUCK_SECONDS, HiddenWatch

A, B = TopicPartition("a", 0), TopicPartition("b", 1)


def test_who_published_nothing_does_not_look() -> None:
    assert not HiddenWatch().wants_look(1_000.0)


def test_a_look_is_taken_at_once_and_then_at_intervals_until_all_is_shown() -> None:
    watch = HiddenWatch()
    watch.published(10.0)

    assert watch.wants_look(10.0)
    assert not watch.is_stuck(10.0, {A: 7})
    assert not watch.wants_look(10.0 + LOOK_SECONDS / 2)
    assert watch.wants_look(10.0 + LOOK_SECONDS)
    assert not watch.is_stuck(10.0 + LOOK_SECONDS, {})
    assert not watch.wants_look(1_000.0)


def test_what_stays_hidden_is_acted_on_once() -> None:
    """After that somebody else's transaction stands there, until something else is hidden."""
    watch = HiddenWatch()
    watch.published(0.0)
    assert not watch.is_stuck(0.0, {A: 7})
    assert not watch.is_stuck(STUCK_SECONDS - 0.1, {A: 7})
    assert watch.is_stuck(STUCK_SECONDS, {A: 7})

    watch.published(STUCK_SECONDS)  # it has settled
    assert not watch.is_stuck(2 * STUCK_SECONDS, {A: 7, B: 0})
    assert watch.is_stuck(3 * STUCK_SECONDS, {A: 7, B: 0})


@given(ends=st.lists(st.integers(0, 100), min_size=2, max_size=30, unique=True))
def test_readers_that_move_on_are_never_stuck(ends: list[int]) -> None:
    """Under load there is always something hidden, further on each time."""
    watch = HiddenWatch()
    watch.published(0.0)

    moves = [watch.is_stuck(number * STUCK_SECONDS, {A: end}) for number, end in enumerate(ends)]

    assert not any(moves)
