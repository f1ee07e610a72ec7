"""The name of an outbox, for whoever remembers something about it elsewhere."""

from pathlib import Path

import pytest

from huleedu.core.hops import ThreadHops
from huleedu.store.database import Database
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import outbox_identity_migrations, read_outbox_id, renew

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
