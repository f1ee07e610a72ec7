"""The write-ahead log of a store is emptied in time, whoever reads meanwhile."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from huleedu.core.hops import ThreadHops
from huleedu.store.database import JOURNAL_BYTES_MAX, Database
from tests.endurance.journal import check_journal, journal_bytes, text_migrations, write_text

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MEGABYTE = 1_000_000


async def test_reads_that_overlap_do_not_let_the_log_grow(tmp_path: Path) -> None:
    """There is never a moment without a reader, and the log stays below 64 MiB."""
    finding = await check_journal(tmp_path, writes=100, read_seconds=0.05)

    assert finding.faults == []


async def test_a_reader_that_stays_stops_nobody_and_leaves_a_short_log(tmp_path: Path) -> None:
    """A backup may read as long as it likes: writing goes on, and afterwards the log shrinks."""
    store = Database(tmp_path / "s.db", (text_migrations,), ThreadHops())
    await store.open()
    megabytes = JOURNAL_BYTES_MAX // MEGABYTE + 10
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM text").fetchone()
        for number in range(megabytes):
            await store.write(write_text(number))
        grown = journal_bytes(store.path)
        seen = reader.execute("SELECT count(*) FROM text").fetchone()
    for number in range(megabytes):
        await store.write(write_text(number))
    left = journal_bytes(store.path)
    await store.close()

    assert seen == (0,)
    assert grown > JOURNAL_BYTES_MAX
    assert left <= JOURNAL_BYTES_MAX
