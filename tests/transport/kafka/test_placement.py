"""A consumer that keeps its own position goes on there, or says why it cannot."""

import pytest

from huleedu.transport.kafka.placement import Oddity, Placement, placement


@pytest.mark.parametrize(
    ("position", "beginning", "end", "placed"),
    [
        (None, 0, 0, Placement(0)),
        (None, 7, 9, Placement(7)),
        (8, 7, 9, Placement(8)),
        (7, 7, 9, Placement(7)),
        (9, 7, 9, Placement(9)),
        (10, 7, 9, Placement(7, Oddity.BEYOND_THE_END)),
        (6, 7, 9, Placement(None, Oddity.BEFORE_THE_BEGINNING)),
        (0, 0, 5, Placement(0)),
        (3, 0, 0, Placement(0, Oddity.BEYOND_THE_END)),
    ],
)
def test_a_partition_is_read_from_where_the_store_says_if_the_log_has_that(
    position: int | None, beginning: int, end: int, placed: Placement
) -> None:
    """Nothing is skipped unseen: what the log does not have any more stops the partition, and a
    log that was made anew is read from its beginning."""
    assert placement(position, beginning, end) == placed
