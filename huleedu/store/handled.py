"""Which events a consumer group has handled, kept beside their effects, so that none counts twice.

Used where the transport has no positions of its own (the memory bus redelivers by event).
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.clock import to_text
from huleedu.store.migrations import Migrations

handled_migrations = Migrations("handled")

PURGE_SLICE_ROWS = 1_000


@handled_migrations()
def create_handled(database: SchemaDatabase) -> None:
    """One row for each group and event."""
    database.conn.execute("""
        CREATE TABLE handled (
            consumer_group TEXT NOT NULL,
            event_id TEXT NOT NULL,
            handled_at TEXT NOT NULL,
            PRIMARY KEY (consumer_group, event_id)
        ) STRICT, WITHOUT ROWID""")
    database.conn.execute("CREATE INDEX handled_by_age ON handled (handled_at)")


def claim(
    connection: sqlite3.Connection, group: str, event_ids: Sequence[str], now: datetime
) -> set[str]:
    """Note these events as handled, in the transaction of their effects; return the new ones."""
    rows = connection.execute(
        "INSERT OR IGNORE INTO handled (consumer_group, event_id, handled_at)"
        " SELECT ?, value, ? FROM json_each(?) WHERE true RETURNING event_id",
        (group, to_text(now), msgspec.json.encode(event_ids)),
    )
    return {event_id for (event_id,) in rows}


def purge_handled(connection: sqlite3.Connection, now: datetime, keep: timedelta) -> int:
    """Delete at most one slice of rows older than ``keep``; return how many."""
    cursor = connection.execute(
        "DELETE FROM handled WHERE (consumer_group, event_id) IN"
        " (SELECT consumer_group, event_id FROM handled WHERE handled_at < ?"
        "  ORDER BY handled_at LIMIT ?)",
        (to_text(now - keep), PURGE_SLICE_ROWS),
    )
    return cursor.rowcount
