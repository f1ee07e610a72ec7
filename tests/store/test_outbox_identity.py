"""The name of an outbox, for whoever remembers something about it elsewhere."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from huleedu.core.hops import ThreadHops
from huleedu.core.message import Message
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import (
    OPENINGS_MAX,
    Opening,
    acknowledged_id,
    last_commits,
    note_acknowledged,
    note_ending,
    note_topics,
    outbox_identity_migrations,
    read_openings,
    read_outbox_id,
    renew,
    topics_written,
)

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)


async def _id_of(path: Path) -> str:
    database = Database(path, (outbox_migrations, outbox_identity_migrations), ThreadHops())
    await database.open()
    try:
        return await database.read(read_outbox_id)
    finally:
        await database.close()


async def test_an_outbox_keeps_its_id(tmp_path: Path) -> None:
    """The id is made with the store, and is the same whenever the store is opened again."""
    first = await _id_of(tmp_path / "a.db")

    assert len(first) == 32
    assert await _id_of(tmp_path / "a.db") == first


async def test_no_two_outboxes_share_an_id(tmp_path: Path) -> None:
    """Two stores, made in the same way, have different ids."""
    assert await _id_of(tmp_path / "a.db") != await _id_of(tmp_path / "b.db")


async def test_a_store_put_back_gets_a_new_id(tmp_path: Path) -> None:
    """After ``renew`` the id is another, and stays."""
    before = await _id_of(tmp_path / "a.db")
    database = Database(
        tmp_path / "a.db", (outbox_migrations, outbox_identity_migrations), ThreadHops()
    )
    await database.open()
    renewed = await database.write(renew)
    await database.close()

    assert renewed != before
    assert await _id_of(tmp_path / "a.db") == renewed


async def test_what_a_broker_said_is_kept_until_the_store_is_put_back(tmp_path: Path) -> None:
    """Of the broker's words only those about this very outbox count; its topics stay known."""
    database = Database(
        tmp_path / "a.db", (outbox_migrations, outbox_identity_migrations), ThreadHops()
    )
    await database.open()
    try:
        before = await database.read(lambda db: (last_commits(db), acknowledged_id(db)))
        await database.write(lambda db: note_ending(db, True))
        await database.write(lambda db: note_acknowledged(db, 7))
        await database.write(lambda db: note_topics(db, ["a", "b"]))
        await database.write(lambda db: note_topics(db, ["b", "c"]))
        said = await database.read(lambda db: (last_commits(db), acknowledged_id(db)))
        await database.write(renew)
        after = await database.read(lambda db: (last_commits(db), acknowledged_id(db)))
        topics = await database.read(topics_written)
    finally:
        await database.close()

    assert (before, said, after) == ((False, 0), (True, 7), (False, 0))
    assert topics == {"a", "b", "c"}


def _store(tmp_path: Path) -> Database:
    return Database(
        tmp_path / "a.db", (outbox_migrations, outbox_identity_migrations), ThreadHops()
    )


async def _lived(tmp_path: Path, rows: int) -> tuple[Opening, ...]:
    """Open the store, add so many rows, and return its openings."""
    store = _store(tmp_path)
    await store.open()
    try:
        said = [Message("t", b"k", b"v") for _ in range(rows)]
        await store.write(lambda db: outbox.add(db, said, NOW))
        return await store.read(read_openings)
    finally:
        await store.close()


async def test_each_opening_after_which_rows_were_added_is_noted(tmp_path: Path) -> None:
    """With the first id that it gave and a token of its own; one without rows leaves none."""
    for rows in (2, 0, 0, 3):
        await _lived(tmp_path, rows)
    openings = await _lived(tmp_path, 0)

    assert [one.first_id for one in openings] == [1, 3, 6]
    assert len({one.token for one in openings}) == 3


async def test_purged_rows_and_ids_change_no_opening(tmp_path: Path) -> None:
    """An opening begins behind every id that was ever given."""
    await _lived(tmp_path, 3)
    store = _store(tmp_path)
    await store.open()
    try:
        await store.write(lambda db: db.execute("DELETE FROM outbox").rowcount)
    finally:
        await store.close()

    assert [one.first_id for one in await _lived(tmp_path, 1)] == [1, 4]


async def test_openings_do_not_grow_without_end(tmp_path: Path) -> None:
    """The latest are kept."""
    for _ in range(OPENINGS_MAX + 2):
        openings = await _lived(tmp_path, 1)

    assert len(openings) == OPENINGS_MAX
    assert openings[-1].first_id == OPENINGS_MAX + 2


async def test_what_an_older_program_added_is_one_opening_in_every_copy(tmp_path: Path) -> None:
    """Rows from before openings were noted are known as the same in copies made since, too."""
    await _lived(tmp_path, 2)
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as older:
        older.execute("DROP TABLE outbox_opening")
        older.execute("DELETE FROM _sqlite_migrations WHERE name = 'create_outbox_opening'")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "a.db").write_bytes((tmp_path / "a.db").read_bytes())
    first, copied = await _lived(tmp_path, 1), await _lived(tmp_path / "copy", 1)

    assert [one.first_id for one in first] == [one.first_id for one in copied] == [1, 3]
    assert first[0] == copied[0]
    assert first[1] != copied[1]
