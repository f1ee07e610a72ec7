"""Which events a consumer group has handled, kept beside their effects, so that none counts twice.

Used where the transport has no positions of its own (the memory bus redelivers by event).
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.clock import to_text
from huleedu.store.migrations import Migrations
from huleedu.store.purging import Purge

handled_migrations = Migrations("handled")


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


purge_handled = Purge("handled", "consumer_group, event_id", "handled_at")
"""Forgets event ids, after which an event that comes again would count again."""
