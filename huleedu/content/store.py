"""The rows of the content store: written once, checked against their id on every read."""

import sqlite3
from datetime import datetime

from sqlite_utils import Database as SchemaDatabase

from huleedu.content.identity import storage_id_of
from huleedu.core.clock import to_text
from huleedu.core.enums import ErrorCode
from huleedu.core.errors import Conflict, NotFound, StoreUnavailable
from huleedu.core.ids import StorageId
from huleedu.store.migrations import Migrations

content_migrations = Migrations("content")
MIGRATIONS = (content_migrations,)


class DamagedContent(StoreUnavailable):
    """What is stored is no longer what its id names: the disk or a person changed it."""

    code = ErrorCode.CONTENT_SERVICE_ERROR


class DifferentContent(Conflict):
    """Another content has this id already (see ``identity`` for the odds): it is not replaced."""

    code = ErrorCode.CONTENT_SERVICE_ERROR


@content_migrations()
def create_content(database: SchemaDatabase) -> None:
    """One row for each different content."""
    database.conn.execute("""
        CREATE TABLE content (
            storage_id TEXT PRIMARY KEY,
            bytes BLOB NOT NULL,
            created_at TEXT NOT NULL
        ) STRICT""")


def save(connection: sqlite3.Connection, content: bytes, now: datetime) -> StorageId:
    """Store the bytes unless they are there, and return their id.

    A row that was damaged is healed by the bytes that belong there.  Raises ``DifferentContent``
    when other, undamaged bytes have the same id.
    """
    storage_id = storage_id_of(content)
    inserted = connection.execute(
        "INSERT INTO content (storage_id, bytes, created_at) VALUES (?, ?, ?)"
        " ON CONFLICT (storage_id) DO NOTHING",
        (storage_id, content, to_text(now)),
    )
    if inserted.rowcount == 0:
        _agree_with_stored(connection, storage_id, content)
    return storage_id


def _agree_with_stored(
    connection: sqlite3.Connection, storage_id: StorageId, content: bytes
) -> None:
    (stored,) = connection.execute(
        "SELECT bytes FROM content WHERE storage_id = ?", (storage_id,)
    ).fetchone()
    if stored == content:
        return
    if storage_id_of(stored) == storage_id:
        raise DifferentContent(
            f"another content is stored under {storage_id}; this one cannot be stored beside it"
        )
    connection.execute("UPDATE content SET bytes = ? WHERE storage_id = ?", (content, storage_id))


def load(connection: sqlite3.Connection, storage_id: StorageId) -> bytes:
    """Return the bytes of an id.

    Raises ``NotFound``; ``DamagedContent`` when the stored bytes do not belong to the id.
    """
    row = connection.execute(
        "SELECT bytes FROM content WHERE storage_id = ?", (storage_id,)
    ).fetchone()
    if row is None:
        raise NotFound(f"no content is stored under {storage_id}")
    content: bytes = row[0]
    if storage_id_of(content) != storage_id:
        raise DamagedContent(
            f"the content stored under {storage_id} is damaged; restore it from a backup, "
            "or store the same text again"
        )
    return content
