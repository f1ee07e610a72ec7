"""When a consumer that stands still is to be made anew."""

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from huleedu.transport.kafka.stalls import RESTARTS_MAX, Stalls

ONE, TWO = TopicPartition("t", 0), TopicPartition("t", 1)
SECONDS = 15.0
looks = st.lists(
    st.one_of(
        st.tuples(st.floats(0.1, 10), st.integers(0, 2), st.integers(0, 3)),
        st.floats(0.1, 10),  # a look that could not tell, so long after the last
    ),
    max_size=30,
)


@given(looks)
def test_it_is_due_after_its_time_at_one_place_with_messages_unread(
    seen: list[tuple[float, int, int] | float],
) -> None:
    """And only then: any progress, any moment without messages, any look that could not tell
    begins the time anew."""
    stalls, now, position, since = Stalls(SECONDS), 0.0, 0, None
    for look in seen:
        if isinstance(look, float):
            now, since = now + look, None
            stalls.interrupted()
            continue
        waited, moved, behind = look
        now, position = now + waited, position + moved
        stall = stalls.observe(now, {ONE: position}, {ONE: position + behind})
        if moved or not behind or since is None:
            since = now if behind else None

        assert (stall is not None) == (behind > 0)
        assert bool(stall and stall.is_due) == (since is not None and now - since >= SECONDS)


def test_a_restart_gives_the_time_anew_and_is_remembered_until_there_is_progress() -> None:
    """The fourth time at the same place is hopeless; a single message read starts over."""
    stalls, now = Stalls(SECONDS), 0.0
    told = []
    for position in (7, 8):
        for _ in range(RESTARTS_MAX + 1):
            stalls.interrupted()
            assert not stalls.observe(now, {ONE: position}, {ONE: 9}).is_due  # type: ignore[union-attr]
            now += SECONDS
            stall = stalls.observe(now, {ONE: position}, {ONE: 9})
            assert stall is not None
            assert stall.is_due
            told.append((stall.restarts, stall.is_hopeless))
            stalls.restarted(ONE)

    assert told == [(0, False), (1, False), (2, False), (3, True)] * 2


def test_a_partition_that_moves_does_not_hide_one_that_does_not() -> None:
    """Each partition is watched for itself; one that is no longer named is forgotten."""
    stalls = Stalls(SECONDS)
    for second in range(16):
        stall = stalls.observe(second, {ONE: second, TWO: 5}, {ONE: 99, TWO: 6})

    assert stall is not None
    assert (stall.partition, stall.behind, stall.is_due) == (TWO, 1, True)
    stalls.observe(16, {ONE: 16}, {ONE: 99})
    stall = stalls.observe(17, {ONE: 17, TWO: 5}, {ONE: 99, TWO: 6})
    assert stall is not None
    assert not stall.is_due
