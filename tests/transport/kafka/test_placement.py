"""A consumer goes on where its group stands, or says why it cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.store.positions import Position
from huleedu.transport.kafka.placement import Log, Oddity, Placement, placement

LOST = Oddity.BEFORE_THE_BEGINNING


@pytest.mark.parametrize(
    ("position", "log", "placed"),
    [
        (None, Log(0, 0, "a"), Placement(0)),
        (None, Log(7, 9, "a"), Placement(7)),
        (Position(8, "a"), Log(7, 9, "a"), Placement(8)),
        (Position(7, "a"), Log(7, 9, "a"), Placement(7)),
        (Position(9, "a"), Log(7, 9, "a"), Placement(9)),
        (Position(10, "a"), Log(7, 9, "a"), Placement(7, Oddity.BEYOND_THE_END)),
        (Position(6, "a"), Log(7, 9, "a"), Placement(None, LOST, range(6, 7))),
        (Position(0, "a"), Log(0, 5, "a"), Placement(0)),
        (Position(3, "a"), Log(0, 0, "a"), Placement(0, Oddity.BEYOND_THE_END)),
        (Position(3, "a"), Log(0, 9, "b"), Placement(0, Oddity.MADE_ANEW)),
        (Position(3, "a"), Log(0, 0, "b"), Placement(0, Oddity.MADE_ANEW)),
        (Position(3, "a"), Log(2, 9, "b"), Placement(None, LOST, range(2))),
        (Position(3), Log(0, 9, "b"), Placement(3)),
        (Position(3, "a"), Log(0, 9), Placement(3)),
        (Position(10), Log(0, 9), Placement(0, Oddity.BEYOND_THE_END)),
    ],
)
def test_a_partition_is_read_from_where_the_group_stands_if_the_log_has_that(
    position: Position | None, log: Log, placed: Placement
) -> None:
    """Nothing is skipped unseen: what the log does not have any more stops the partition, and a
    topic that was made anew is read from its beginning, however far it has grown."""
    assert placement(position, log) == placed


ids = st.sampled_from([None, "a", "b"])
offsets = st.integers(0, 20)


@given(st.builds(Position, offsets, ids), offsets, offsets, ids)
def test_no_offset_of_the_log_is_passed_over(
    position: Position, begins: int, length: int, topic_id: str | None
) -> None:
    """Wherever a group stands it goes on there or earlier, or stops; of another topic it has read
    nothing."""
    log = Log(begins, begins + length, topic_id)
    place = placement(position, log)

    if place.offset is None:
        assert place.oddity is LOST
        assert place.lost.stop == log.begins
    else:
        assert log.begins <= place.offset <= max(log.begins, position.next_offset)
        if None not in (position.topic_id, topic_id) and position.topic_id != topic_id:
            assert place == Placement(0, Oddity.MADE_ANEW)
