"""Where a consumer group stands in each partition, kept beside the effects of what it read.

Used where the transport has partitions and offsets.  Whoever advances a position says what it
last saw there: a process that lost the partition meanwhile fails, and its effects with it.
"""

import sqlite3

import msgspec
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.errors import Unavailable
from huleedu.store.migrations import Migrations

position_migrations = Migrations("position")


class Superseded(Unavailable):
    """Another process advanced this position: read it again and seek there."""


@position_migrations()
def create_position(database: SchemaDatabase) -> None:
    """One row for each group and partition."""
    database.conn.execute("""
        CREATE TABLE position (
            consumer_group TEXT NOT NULL,
            topic TEXT NOT NULL,
            partition INTEGER NOT NULL,
            next_offset INTEGER NOT NULL,
            PRIMARY KEY (consumer_group, topic, partition)
        ) STRICT, WITHOUT ROWID""")


@position_migrations()
def add_topic_id(database: SchemaDatabase) -> None:
    """Which topic of that name the position is in; NULL: not known."""
    database.conn.execute("ALTER TABLE position ADD COLUMN topic_id TEXT")


@position_migrations()
def create_parked(database: SchemaDatabase) -> None:
    """Messages behind a position that wait for another attempt (see ``store.parked``)."""
    database.conn.execute("""
        CREATE TABLE parked (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            consumer_group TEXT NOT NULL,
            topic TEXT NOT NULL,
            partition INTEGER NOT NULL,
            offset INTEGER NOT NULL,
            key BLOB NOT NULL,
            value BLOB NOT NULL,
            headers BLOB NOT NULL,
            attempts INTEGER NOT NULL,
            parked_at TEXT NOT NULL
        ) STRICT""")
    database.conn.execute(
        "CREATE INDEX parked_by_partition ON parked (consumer_group, topic, partition, id)"
    )


class Position(msgspec.Struct, frozen=True):
    """The next offset to read in a partition, and the topic that the offset belongs to.

    A topic that is deleted and created again has the same name and another id.
    """

    next_offset: int
    topic_id: str | None = None
    """None: it is not known, since the broker does not tell or an older program noted this."""


def read(connection: sqlite3.Connection, group: str, topic: str, partition: int) -> Position | None:
    """Return where to go on, or None when the group has never read this partition."""
    row = connection.execute(
        "SELECT next_offset, topic_id FROM position"
        " WHERE consumer_group = ? AND topic = ? AND partition = ?",
        (group, topic, partition),
    ).fetchone()
    return None if row is None else Position(*row)


def move(
    connection: sqlite3.Connection,
    group: str,
    topic: str,
    partition: int,
    *,
    seen: Position | None,
    to: Position,
) -> None:
    """Move the position from ``seen`` (None: there is none yet), in the caller's transaction.

    Raises ``Superseded`` when it is no longer at ``seen``: the transaction must fail as a whole.
    """
    if seen is None:
        cursor = connection.execute(
            "INSERT OR IGNORE INTO position"
            " (consumer_group, topic, partition, next_offset, topic_id) VALUES (?, ?, ?, ?, ?)",
            (group, topic, partition, to.next_offset, to.topic_id),
        )
    else:
        cursor = connection.execute(
            "UPDATE position SET next_offset = ?, topic_id = ? WHERE consumer_group = ?"
            " AND topic = ? AND partition = ? AND next_offset = ? AND topic_id IS ?",
            (to.next_offset, to.topic_id, group, topic, partition, seen.next_offset, seen.topic_id),
        )
    if cursor.rowcount != 1:
        raise Superseded(
            f"group {group} no longer stands at {seen and seen.next_offset} in "
            f"{topic}[{partition}]: another process went on from there"
        )
