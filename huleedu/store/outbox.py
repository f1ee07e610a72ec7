"""Messages that follow from a change, written in its transaction and published afterwards."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.clock import to_text
from huleedu.core.message import Message
from huleedu.store.migrations import Migrations
from huleedu.store.purging import Purge

outbox_migrations = Migrations("outbox")


@outbox_migrations()
def create_outbox(database: SchemaDatabase) -> None:
    """Rows in the order in which they were said; ``sent_at`` is set by the relay."""
    # AUTOINCREMENT: an id is never used again after a purge.
    database.conn.execute("""
        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            topic TEXT NOT NULL,
            key BLOB NOT NULL,
            value BLOB NOT NULL,
            headers BLOB NOT NULL,
            event_id TEXT NOT NULL,
            created_at TEXT NOT NULL,
            sent_at TEXT
        ) STRICT""")
    database.conn.execute("CREATE INDEX outbox_unsent ON outbox (topic, id) WHERE sent_at IS NULL")
    database.conn.execute("CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL")


class OutboxRow(msgspec.Struct, frozen=True):
    """A message that waits to be published, and its place in the order."""

    id: int
    message: Message


def add(connection: sqlite3.Connection, messages: Iterable[Message], now: datetime) -> None:
    """Put messages behind all others, in the transaction that ``connection`` is in."""
    created_at = to_text(now)
    connection.executemany(
        "INSERT INTO outbox (topic, key, value, headers, event_id, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (m.topic, m.key, m.value, msgspec.json.encode(m.headers), m.event_id, created_at)
            for m in messages
        ],
    )


def last_given_id(connection: sqlite3.Connection) -> int:
    """Return the highest id that any row had, purged or not; 0 when there was none."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
    return 0 if row is None else int(row[0])


def topics_waiting(connection: sqlite3.Connection) -> Mapping[str, int]:
    """Return the topics that have unsent rows, each with the id of its last one."""
    return dict(
        connection.execute("SELECT topic, max(id) FROM outbox WHERE sent_at IS NULL GROUP BY topic")
    )


def unsent(
    connection: sqlite3.Connection, topic: str, after: int, limit: int
) -> Sequence[OutboxRow]:
    """Return up to ``limit`` unsent rows of a topic with ids above ``after``, oldest first."""
    rows = connection.execute(
        "SELECT id, key, value, headers FROM outbox"
        " WHERE topic = ? AND sent_at IS NULL AND id > ? ORDER BY id LIMIT ?",
        (topic, after, limit),
    )
    return [
        OutboxRow(row_id, Message(topic, key, value, msgspec.json.decode(headers)))
        for row_id, key, value, headers in rows
    ]


def mark_sent(connection: sqlite3.Connection, ids: Iterable[int], now: datetime) -> None:
    """Note that these rows are published."""
    sent_at = to_text(now)
    connection.executemany(
        "UPDATE outbox SET sent_at = ? WHERE id = ? AND sent_at IS NULL",
        [(sent_at, row_id) for row_id in ids],
    )


def backlog(connection: sqlite3.Connection) -> tuple[int, str | None]:
    """Return how many rows are unsent, and since when the oldest waits (as text)."""
    count, oldest = connection.execute(
        "SELECT count(*), min(created_at) FROM outbox WHERE sent_at IS NULL"
    ).fetchone()
    return count, oldest


purge_sent = Purge("outbox", "id", "sent_at")
"""Forgets rows that were sent; one that waits stays."""
