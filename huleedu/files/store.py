"""The tables of files, and the only SQL on them.

``batch`` has one row a registration.  ``file`` has one row for each text that an essay was given,
so that a refusal of the newest one leaves the one before it in force.  ``ending`` has one row for
each batch that takes no more texts, be it registered here yet or not.
"""

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.clock import to_text
from huleedu.core.enums import RefusalReason
from huleedu.files.model import NewText, Registration, Slots
from huleedu.store.handled import handled_migrations
from huleedu.store.migrations import Migrations
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import outbox_identity_migrations
from huleedu.store.positions import position_migrations

files_migrations = Migrations("files")

MIGRATIONS = (
    files_migrations,
    outbox_migrations,
    handled_migrations,
    position_migrations,
    outbox_identity_migrations,
)

_essay_ids = msgspec.json.Decoder(list[str])


@files_migrations()
def create_batch_and_file(database: SchemaDatabase) -> None:
    """The expected essays of each batch, and the texts that came for them."""
    database.conn.execute("""
        CREATE TABLE batch (
            batch_id TEXT PRIMARY KEY,
            correlation_id TEXT,
            registered_at TEXT NOT NULL,
            essay_ids BLOB NOT NULL   -- JSON array in the order of registration
        ) STRICT, WITHOUT ROWID""")
    database.conn.execute("""
        CREATE TABLE file (
            batch_id TEXT NOT NULL REFERENCES batch,
            essay_id TEXT NOT NULL,
            version INTEGER NOT NULL,
            storage_id TEXT NOT NULL,
            file_name TEXT NOT NULL,
            student_name TEXT,
            uploaded_at TEXT NOT NULL,
            refused_reason TEXT,      -- as ELS says it; NULL: not refused, as far as is known
            PRIMARY KEY (batch_id, essay_id, version)
        ) STRICT, WITHOUT ROWID""")


@files_migrations()
def create_ending(database: SchemaDatabase) -> None:
    """Why a batch takes no more texts."""
    database.conn.execute("""
        CREATE TABLE ending (
            batch_id TEXT PRIMARY KEY,
            reason TEXT NOT NULL      -- of those that ELS gives; the strongest that was heard
        ) STRICT, WITHOUT ROWID""")


def add_registrations(
    connection: sqlite3.Connection, registrations: Iterable[Registration], now: datetime
) -> None:
    """Learn the essays of these batches; a batch that is known already stays as it is."""
    connection.executemany(
        "INSERT INTO batch (batch_id, correlation_id, registered_at, essay_ids)"
        " VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (
                one.batch_id,
                None if one.correlation_id is None else str(one.correlation_id),
                to_text(now),
                msgspec.json.encode(one.essay_ids),
            )
            for one in registrations
        ],
    )


def find_registration(connection: sqlite3.Connection, batch_id: str) -> Registration | None:
    """Return a batch's registration, or None while it was not heard."""
    row = connection.execute(
        "SELECT correlation_id, essay_ids FROM batch WHERE batch_id = ?", (batch_id,)
    ).fetchone()
    if row is None:
        return None
    correlation_id, essay_ids = row
    return Registration(
        batch_id=batch_id,
        correlation_id=None if correlation_id is None else UUID(correlation_id),
        essay_ids=_essay_ids.decode(essay_ids),
    )


def load_slots(connection: sqlite3.Connection, batch_id: str) -> Slots:
    """Return the texts that the essays of a batch were given."""
    texts: dict[str, str] = {}
    versions: dict[str, int] = {}
    refusals: dict[tuple[str, str], str] = {}
    for essay_id, version, storage_id, refused_reason in connection.execute(
        "SELECT essay_id, version, storage_id, refused_reason FROM file"
        " WHERE batch_id = ? ORDER BY essay_id, version",
        (batch_id,),
    ):
        versions[essay_id] = version
        if refused_reason is None:
            texts[essay_id] = storage_id
        else:
            refusals[essay_id, storage_id] = refused_reason
    return Slots(texts, versions, refusals)


def add_texts(
    connection: sqlite3.Connection, batch_id: str, texts: Iterable[NewText], now: datetime
) -> None:
    """Note the texts that essays are given."""
    uploaded_at = to_text(now)
    connection.executemany(
        "INSERT INTO file (batch_id, essay_id, version, storage_id, file_name, student_name,"
        " uploaded_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                batch_id,
                text.essay_id,
                text.version,
                text.storage_id,
                text.file_name,
                text.student_name,
                uploaded_at,
            )
            for text in texts
        ],
    )


def note_refusal(
    connection: sqlite3.Connection, batch_id: str, essay_id: str, storage_id: str, reason: str
) -> bool:
    """Note why a text was refused; return whether it came from here.

    Of several versions with this text it is the newest one: a text that was refused is not sent
    again.  What was noted first stays.
    """
    cursor = connection.execute(
        "UPDATE file SET refused_reason = coalesce(refused_reason, ?1)"
        " WHERE batch_id = ?2 AND essay_id = ?3 AND version = ("
        "  SELECT max(version) FROM file"
        "  WHERE batch_id = ?2 AND essay_id = ?3 AND storage_id = ?4)",
        (reason, batch_id, essay_id, storage_id),
    )
    return cursor.rowcount > 0


def note_endings(
    connection: sqlite3.Connection, endings: Iterable[tuple[str, RefusalReason]]
) -> None:
    """Note which batches take no more texts, and why: cancelled before closed before ready.

    That this is the order of their names is what makes it one statement.
    """
    connection.executemany(
        "INSERT INTO ending (batch_id, reason) VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET reason = min(reason, excluded.reason)",
        [(batch_id, reason.value) for batch_id, reason in endings],
    )


def find_ending(connection: sqlite3.Connection, batch_id: str) -> RefusalReason | None:
    """Return why a batch takes no more texts; None: it takes them, as far as is known."""
    row = connection.execute("SELECT reason FROM ending WHERE batch_id = ?", (batch_id,)).fetchone()
    return None if row is None else RefusalReason(row[0])
