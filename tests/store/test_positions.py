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
from huleedu.store.positions import Superseded, advance, position_migrations, read
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

    advance(connection, "g", "t", 0, seen=None, next_offset=0)

    assert read(connection, "g", "t", 0) == 0


def test_each_group_topic_and_partition_has_its_own(connection: sqlite3.Connection) -> None:
    """Moving one position moves no other."""
    places = [("g", "t", 0), ("g", "t", 1), ("g", "u", 0), ("h", "t", 0)]
    for number, place in enumerate(places):
        advance(connection, *place, seen=None, next_offset=number)
    advance(connection, "g", "t", 1, seen=1, next_offset=50)

    assert [read(connection, *place) for place in places] == [0, 50, 2, 3]


@pytest.mark.parametrize("seen", [None, 0, 9, 11])
def test_who_saw_another_position_is_superseded(
    connection: sqlite3.Connection, seen: int | None
) -> None:
    """Advancing from anywhere but the present position fails, and may be tried again later."""
    advance(connection, "g", "t", 0, seen=None, next_offset=10)

    with pytest.raises(Superseded, match=r"group g .* t\[0\]"):
        advance(connection, "g", "t", 0, seen=seen, next_offset=20)

    assert issubclass(Superseded, Unavailable)
    assert read(connection, "g", "t", 0) == 10


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
        seen: list[int | None] = [None, None]
        fetched: list[list[int]] = [[], []]
        for who, step, count in steps:
            if step == "fetch":
                start = seen[who] or 0
                fetched[who] = list(range(start, start + count))
            elif fetched[who]:
                after = fetched[who][-1] + 1
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    for offset in fetched[who]:
                        connection.execute("INSERT INTO note VALUES (?)", (str(offset),))
                    advance(connection, "g", "t", 0, seen=seen[who], next_offset=after)
                    connection.execute("COMMIT")
                    seen[who] = after
                except (Superseded, sqlite3.IntegrityError):
                    connection.execute("ROLLBACK")
                    seen[who] = read(connection, "g", "t", 0)
                fetched[who] = []

        position = read(connection, "g", "t", 0) or 0

        assert read_notes(connection) == [str(offset) for offset in range(position)]


@pytest.mark.anyio
async def test_a_superseded_holder_fails_with_its_effects(tmp_path: Path) -> None:
    """Through a store, the effects of a lapsed holder are undone with its position."""
    store = Database(tmp_path / "s.db", [position_migrations, note_migrations], ThreadHops())
    await store.open()

    def handled(text: str, seen: int | None, after: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            write_note(text)(connection)
            advance(connection, "g", "t", 0, seen=seen, next_offset=after)

        works.append(work)

    works: list = []  # type: ignore[type-arg]
    handled("by the holder", None, 5)
    handled("by the lapsed one", None, 7)
    await store.write(works[0])
    with pytest.raises(Superseded):
        await store.write(works[1])

    assert await store.read(read_notes) == ["by the holder"]
    assert await store.read(lambda c: read(c, "g", "t", 0)) == 5
    await store.close()
