"""The write-ahead log stays short although there is always a reader, and none is in its way."""

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.hops import ThreadHops
from huleedu.store.database import Database
from huleedu.store.migrations import Migrations
from tests.endurance.report import Finding

JOURNAL_BYTES_ALLOWED = 64 * 2**20
WRITE_BYTES = 1_000_000
ROWS = 50  # written over again, so that the store itself stays small
READERS = 3

text_migrations = Migrations("text")


@text_migrations()
def create_text(database: SchemaDatabase) -> None:
    database.conn.execute("CREATE TABLE text (id INTEGER PRIMARY KEY, bytes BLOB) STRICT")


def journal_bytes(store: Path) -> int:
    journal = store.with_name(f"{store.name}-wal")
    return journal.stat().st_size if journal.exists() else 0


async def check_journal(directory: Path, writes: int, read_seconds: float) -> Finding:
    """Write a megabyte so many times, while reads that take so long overlap all the time."""
    store = Database(directory / "s.db", (text_migrations,), ThreadHops())
    await store.open()
    longest = 0
    try:
        async with anyio.create_task_group() as tasks:
            for number in range(READERS):
                tasks.start_soon(_read_on, store, number * read_seconds / READERS, read_seconds)
            for number in range(writes):
                await store.write(write_text(number))
                longest = max(longest, journal_bytes(store.path))
            tasks.cancel_scope.cancel()
    finally:
        await store.close()
    told = f"{writes} MB beside reads of {read_seconds:g} s, log at most {longest / 2**20:.0f} MiB"
    faults = [told] if longest > JOURNAL_BYTES_ALLOWED else []
    return Finding("short write-ahead log", told, faults)


def write_text(number: int) -> Callable[[sqlite3.Connection], object]:
    """Return work that writes one megabyte."""
    return lambda db: db.execute(
        "INSERT OR REPLACE INTO text VALUES (?, zeroblob(?))", (number % ROWS, WRITE_BYTES)
    )


async def _read_on(store: Database, after: float, seconds: float) -> None:
    await anyio.sleep(after)
    while True:
        await store.read(partial(_read, seconds=seconds))


def _read(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute("SELECT count(*) FROM text").fetchone()
    time.sleep(seconds)
    connection.execute("SELECT count(*) FROM text").fetchone()
