"""The name of an outbox, for whoever remembers something about it elsewhere."""

from pathlib import Path

import pytest

from huleedu.core.hops import ThreadHops
from huleedu.store.database import Database
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import (
    acknowledged_id,
    last_commits,
    note_acknowledged,
    note_ending,
    note_topics,
    outbox_identity_migrations,
    read_outbox_id,
    renew,
    topics_written,
)

pytestmark = pytest.mark.anyio


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
