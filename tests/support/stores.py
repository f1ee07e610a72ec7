"""A small store for tests: one table of notes."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlite_utils import Database as SchemaDatabase

from huleedu.core.hops import Hops, ThreadHops
from huleedu.store.database import Database
from huleedu.store.migrations import Migrations

note_migrations = Migrations("note")


@note_migrations()
def create_note(database: SchemaDatabase) -> None:
    database.conn.execute("CREATE TABLE note (text TEXT NOT NULL UNIQUE) STRICT")


def write_note(text: str) -> Callable[[sqlite3.Connection], str]:
    """Return work that writes a note and answers with it."""

    def work(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO note VALUES (?)", (text,))
        return text

    return work


def read_notes(connection: sqlite3.Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM note ORDER BY rowid")]


def cache_kibibytes(connection: sqlite3.Connection) -> int:
    """Return how many KiB of pages the connection keeps; SQLite counts them below 0."""
    return -int(connection.execute("PRAGMA cache_size").fetchone()[0])


@asynccontextmanager
async def note_store(
    path: Path,
    hops: Hops | None = None,
    migrations: Sequence[Migrations] = (note_migrations,),
    busy_timeout_seconds: float = 5.0,
) -> AsyncIterator[Database]:
    database = Database(path, migrations, hops or ThreadHops(), busy_timeout_seconds)
    await database.open()
    try:
        yield database
    finally:
        await database.close()
