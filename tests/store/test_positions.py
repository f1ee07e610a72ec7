"""A position moves with the effects of who holds it; a second holder fails as a whole."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.errors import Unavailable
from huleedu.core.hops import ThreadHops
from huleedu.store.database import Database
from huleedu.store.migrations import migrate
from huleedu.store.positions import Position, Superseded, move, position_migrations, read
from tests.support.stores import note_migrations, read_notes, write_note


def _opened() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "s", [position_migrations, note_migrations])
    yield connection
    connection.close()


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    yield from _opened()


def test_nothing_handled_yet_has_no_position(connection: sqlite3.Connection) -> None:
    """A partition that was never read is told from one that stands at its beginning."""
    assert read(connection, "g", "t", 0) is None

    move(connection, "g", "t", 0, seen=None, to=Position(0, "id"))

    assert read(connection, "g", "t", 0) == Position(0, "id")


def test_each_group_topic_and_partition_has_its_own(connection: sqlite3.Connection) -> None:
    """Moving one position moves no other."""
    places = [("g", "t", 0), ("g", "t", 1), ("g", "u", 0), ("h", "t", 0)]
    for number, place in enumerate(places):
        move(connection, *place, seen=None, to=Position(number))
    move(connection, "g", "t", 1, seen=Position(1), to=Position(50))

    assert [read(connection, *place) for place in places] == [
        Position(0),
        Position(50),
        Position(2),
        Position(3),
    ]


@pytest.mark.parametrize(
    "seen", [None, Position(0), Position(9, "id"), Position(11, "id"), Position(10, "other")]
)
def test_who_saw_another_position_is_superseded(
    connection: sqlite3.Connection, seen: Position | None
) -> None:
    """Moving from anywhere but the present position, or from its offset in another topic of the
    same name, fails and may be tried again later."""
    move(connection, "g", "t", 0, seen=None, to=Position(10, "id"))

    with pytest.raises(Superseded, match=r"group g .* t\[0\]"):
        move(connection, "g", "t", 0, seen=seen, to=Position(20, "id"))

    assert issubclass(Superseded, Unavailable)
    assert read(connection, "g", "t", 0) == Position(10, "id")


def test_a_position_of_before_topics_had_ids_goes_on(connection: sqlite3.Connection) -> None:
    """A position that an older program noted has no topic id, and takes one when it moves."""
    connection.execute(
        "INSERT INTO position (consumer_group, topic, partition, next_offset)"
        " VALUES ('g', 't', 0, 7)"
    )
    old = read(connection, "g", "t", 0)
    move(connection, "g", "t", 0, seen=old, to=Position(8, "id"))

    assert old == Position(7)
    assert read(connection, "g", "t", 0) == Position(8, "id")


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1]), st.sampled_from(["fetch", "commit"]), st.integers(1, 3)),
        max_size=40,
    )
)
def test_two_holders_never_handle_one_record_twice(
    steps: list[tuple[int, str, int]],
) -> None:
    """However two processes that both believe to hold a partition interleave, the effects in the
    store are each record once, in order, and the position stands behind the last one."""
    for connection in _opened():
        seen: list[Position | None] = [None, None]
        fetched: list[list[int]] = [[], []]
        for who, step, count in steps:
            if step == "fetch":
                start = _offset(seen[who])
                fetched[who] = list(range(start, start + count))
            elif fetched[who]:
                after = fetched[who][-1] + 1
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    for offset in fetched[who]:
                        connection.execute("INSERT INTO note VALUES (?)", (str(offset),))
                    move(connection, "g", "t", 0, seen=seen[who], to=Position(after))
                    connection.execute("COMMIT")
                    seen[who] = Position(after)
                except (Superseded, sqlite3.IntegrityError):
                    connection.execute("ROLLBACK")
                    seen[who] = read(connection, "g", "t", 0)
                fetched[who] = []

        position = _offset(read(connection, "g", "t", 0))

        assert read_notes(connection) == [str(offset) for offset in range(position)]


def _offset(position: Position | None) -> int:
    return 0 if position is None else position.next_offset


@pytest.mark.anyio
async def test_a_superseded_holder_fails_with_its_effects(tmp_path: Path) -> None:
    """Through a store, the effects of a lapsed holder are undone with its position."""
    store = Database(tmp_path / "s.db", [position_migrations, note_migrations], ThreadHops())
    await store.open()

    def handled(text: str, after: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            write_note(text)(connection)
            move(connection, "g", "t", 0, seen=None, to=Position(after))

        works.append(work)

    works: list = []  # type: ignore[type-arg]
    handled("by the holder", 5)
    handled("by the lapsed one", 7)
    await store.write(works[0])
    with pytest.raises(Superseded):
        await store.write(works[1])

    assert await store.read(read_notes) == ["by the holder"]
    assert await store.read(lambda c: read(c, "g", "t", 0)) == Position(5)
    await store.close()
