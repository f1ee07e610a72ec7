"""Up to which row two copies of one outbox are one."""

from dataclasses import dataclass, replace
from itertools import count, takewhile

from hypothesis import given
from hypothesis import strategies as st

from huleedu.store.outbox_identity import OPENINGS_MAX, Opening
from huleedu.transport.kafka.position import position_offsets
from huleedu.transport.kafka.shared_rows import Position, shared_up_to

_news = count()


@dataclass(frozen=True)
class File:
    """Its rows in the order of their ids, from 1, and when it was opened."""

    rows: tuple[int, ...] = ()
    openings: tuple[Opening, ...] = ()

    def opened(self) -> "File":
        begins = len(self.rows) + 1
        kept = tuple(one for one in self.openings if one.first_id < begins)
        return replace(self, openings=(*kept, Opening(begins, str(next(_news)))))

    def said(self, rows: int) -> "File":
        return replace(self, rows=(*self.rows, *(next(_news) for _ in range(rows))))


lives = st.lists(st.integers(0, 3), max_size=4)
"""How many rows are said after each opening."""


def lived(file: File, life: list[int]) -> File:
    for rows in life:
        file = file.opened().said(rows)
    return file


@given(before=lives, unnoticed=st.integers(0, 3), one=lives, other=lives, data=st.data())
def test_the_rows_are_shared_up_to_where_the_files_part(
    before: list[int], unnoticed: int, one: list[int], other: list[int], data: st.DataObject
) -> None:
    """Whatever was said before and after a file was copied, and though one of the two goes on
    without being opened anew: the row is the last that both have, but none above the position."""
    origin = lived(File(), [0, *before])
    goes_on, copy = lived(origin.said(unnoticed), one), lived(origin.opened(), other)
    publisher, mine = data.draw(st.permutations([goes_on, copy]))
    row_id = data.draw(st.integers(0, len(publisher.rows)))
    same = takewhile(lambda pair: pair[0] == pair[1], zip(publisher.rows, mine.rows, strict=False))

    shared = shared_up_to(Position(row_id, publisher.openings), mine.openings, len(mine.rows))

    assert (shared or 0) == min(row_id, sum(1 for _ in same))


@given(life=lives, later=lives, data=st.data())
def test_a_file_shares_all_rows_with_itself(
    life: list[int], later: list[int], data: st.DataObject
) -> None:
    """However often it was opened since, what it has published is its own."""
    publisher = lived(File(), [0, *life])
    row_id = data.draw(st.integers(0, len(publisher.rows)))
    now = lived(publisher, later)

    position = Position(row_id, publisher.openings)
    assert shared_up_to(position, now.openings, len(now.rows)) == row_id


def test_what_is_not_known_is_not_believed() -> None:
    """Of files without a common opening, or whose openings nobody can read, nothing is known."""
    strangers = Position(5, (Opening(1, "a"), Opening(4, "b")))

    assert shared_up_to(strangers, [Opening(1, "c"), Opening(4, "d")], 9) is None
    assert shared_up_to(Position(5, ()), [Opening(1, "c")], 9) is None


def test_an_older_programs_position_is_believed_if_there_was_such_a_row() -> None:
    """It names no openings, and no row is above the last id that the file has given."""
    ours = [Opening(1, "a")]

    assert shared_up_to(Position(5), ours, 5) == 5
    assert shared_up_to(Position(6), ours, 5) is None


def test_a_broker_has_room_for_all_openings() -> None:
    """The metadata of an offset may have 4,096 bytes."""
    openings = tuple(Opening(10**12 + n, "f" * 12) for n in range(OPENINGS_MAX))
    (offset,) = position_offsets(Position(2 * 10**12, openings)).values()

    assert len(offset.metadata) < 4_096
