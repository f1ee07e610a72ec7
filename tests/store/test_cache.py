"""What a store keeps of its file in memory is bounded, by a number that somebody chose."""

from pathlib import Path

import pytest

from huleedu.core.hops import ThreadHops
from huleedu.store.database import CACHE_MEBIBYTES, READER_CACHE_MEBIBYTES, Database
from tests.support.stores import cache_kibibytes, note_migrations, note_store

pytestmark = pytest.mark.anyio


async def test_a_writer_and_its_readers_keep_what_is_said(tmp_path: Path) -> None:
    """Nothing is left to how SQLite was built."""
    async with note_store(tmp_path / "s.db") as store:
        assert await store.write(cache_kibibytes) == 1_024 * CACHE_MEBIBYTES
        assert await store.read(cache_kibibytes) == 1_024 * READER_CACHE_MEBIBYTES


async def test_a_writer_that_is_opened_anew_keeps_as_much_as_before(tmp_path: Path) -> None:
    """After trouble with the disk there is a new connection, and the same bound."""
    store = Database(tmp_path / "s.db", [note_migrations], ThreadHops(), cache_mebibytes=3)
    await store.open()
    await store.open()

    assert await store.write(cache_kibibytes) == 3 * 1_024
    await store.close()
