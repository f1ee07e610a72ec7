"""Messages that follow from a change, written in its transaction and published afterwards."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

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


@outbox_migrations()
def create_outbox_handled(database: SchemaDatabase) -> None:
    """Which consumer groups have handled an unsent row that other groups have not handled yet."""
    # Used by the memory bus alone: a broker keeps the positions of its groups by itself.
    database.conn.execute("""
        CREATE TABLE outbox_handled (
            row_id INTEGER NOT NULL,
            consumer_group TEXT NOT NULL,
            PRIMARY KEY (row_id, consumer_group)
        ) STRICT, WITHOUT ROWID""")


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
    # From one topic to the next in the index: a long backlog must not be read at every commit.
    return dict(
        connection.execute(
            "WITH RECURSIVE waiting(topic) AS ("
            " SELECT min(topic) FROM outbox WHERE sent_at IS NULL"
            " UNION ALL SELECT (SELECT min(topic) FROM outbox"
            "  WHERE sent_at IS NULL AND topic > waiting.topic)"
            " FROM waiting WHERE waiting.topic IS NOT NULL)"
            " SELECT topic, (SELECT max(id) FROM outbox"
            "  WHERE sent_at IS NULL AND outbox.topic = waiting.topic)"
            " FROM waiting WHERE topic IS NOT NULL"
        )
    )


_UNHANDLED = (
    "sent_at IS NULL AND NOT EXISTS"
    " (SELECT 1 FROM outbox_handled WHERE row_id = outbox.id AND consumer_group = ?)"
)


def unsent(
    connection: sqlite3.Connection, topic: str, after: int, limit: int, group: str = ""
) -> Sequence[OutboxRow]:
    """Return up to ``limit`` unsent rows of a topic with ids above ``after``, oldest first.

    Rows of which it is noted that ``group`` has handled them are left out.
    """
    rows = connection.execute(
        f"SELECT id, key, value, headers FROM outbox"
        f" WHERE topic = ? AND id > ? AND {_UNHANDLED} ORDER BY id LIMIT ?",
        (topic, after, group, limit),
    )
    return [
        OutboxRow(row_id, Message(topic, key, value, msgspec.json.decode(headers)))
        for row_id, key, value, headers in rows
    ]


def unsent_of_key(
    connection: sqlite3.Connection,
    topic: str,
    key: bytes,
    ids: tuple[int, int],
    limit: int,
    group: str,
) -> Sequence[OutboxRow]:
    """Return what ``unsent`` does of one key, from the first to the last of two row ids."""
    rows = connection.execute(
        f"SELECT id, value, headers FROM outbox"
        f" WHERE topic = ? AND id BETWEEN ? AND ? AND key = ? AND {_UNHANDLED}"
        " ORDER BY id LIMIT ?",
        (topic, *ids, key, group, limit),
    )
    return [
        OutboxRow(row_id, Message(topic, key, value, msgspec.json.decode(headers)))
        for row_id, value, headers in rows
    ]


class RowHandled(NamedTuple):
    """Which groups have handled a row, as far as their process knows."""

    row_id: int
    by: Collection[str]
    heard_by: Collection[str]
    """Every group that listens to the row's topic."""


def mark_handled(
    connection: sqlite3.Connection, handled: Iterable[RowHandled], now: datetime
) -> int:
    """Note which groups have handled these rows; return how many of the rows are sent thereby.

    A row is sent when every group that hears it has handled it.  Until then each group that has
    is noted beside it; in most cases all have, and nothing but ``sent_at`` is written.
    """
    sent: list[int] = []
    for row_id, by, heard_by in handled:
        missing = set(heard_by) - set(by)
        if missing:
            connection.executemany(
                "INSERT OR IGNORE INTO outbox_handled VALUES (?, ?)", [(row_id, one) for one in by]
            )
            noted = connection.execute(
                "SELECT consumer_group FROM outbox_handled WHERE row_id = ?", (row_id,)
            )
            missing -= {group for (group,) in noted}
        if not missing:
            sent.append(row_id)
    if sent:
        mark_sent(connection, sent, now)
        connection.execute(
            "DELETE FROM outbox_handled WHERE row_id IN (SELECT value FROM json_each(?))",
            (msgspec.json.encode(sent),),
        )
    return len(sent)


def mark_handled_by_all(
    connection: sqlite3.Connection, topic: str, groups: Collection[str], now: datetime
) -> int:
    """Mark the rows of a topic as sent that all these groups have handled; return how many.

    Where no group is left out, as in a topic that nobody listens to, that is every row.
    """
    rows = connection.execute(
        "SELECT id FROM outbox WHERE topic = ? AND sent_at IS NULL AND ? ="
        " (SELECT count(*) FROM outbox_handled WHERE row_id = outbox.id"
        "  AND consumer_group IN (SELECT value FROM json_each(?)))",
        (topic, len(groups), msgspec.json.encode(list(groups))),
    ).fetchall()
    return mark_handled(connection, [RowHandled(row_id, (), ()) for (row_id,) in rows], now)


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


def backlog_of(
    connection: sqlite3.Connection, topics: Collection[str], group: str
) -> tuple[int, str | None]:
    """Return what ``backlog`` does, of the rows of these topics that a group has not handled."""
    count, oldest = connection.execute(
        "SELECT count(*), min(created_at) FROM outbox"
        f" WHERE topic IN (SELECT value FROM json_each(?)) AND {_UNHANDLED}",
        (msgspec.json.encode(sorted(topics)), group),
    ).fetchone()
    return count, oldest


purge_sent = Purge("outbox", "id", "sent_at")
"""Forgets rows that were sent; one that waits stays."""
