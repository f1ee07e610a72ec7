"""Where a consumer group stands in each partition, kept beside the effects of what it read.

Used where the transport has partitions and offsets.  Whoever advances a position says what it
last saw there: a process that lost the partition meanwhile fails, and its effects with it.
"""

import sqlite3

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


def read(connection: sqlite3.Connection, group: str, topic: str, partition: int) -> int | None:
    """Return the offset to go on from, or None when nothing was handled yet."""
    row = connection.execute(
        "SELECT next_offset FROM position WHERE consumer_group = ? AND topic = ? AND partition = ?",
        (group, topic, partition),
    ).fetchone()
    return None if row is None else int(row[0])


def advance(
    connection: sqlite3.Connection,
    group: str,
    topic: str,
    partition: int,
    *,
    seen: int | None,
    next_offset: int,
) -> None:
    """Move the position from ``seen`` to ``next_offset``, in the transaction of the effects.

    Raises ``Superseded`` when it is no longer at ``seen``: the transaction must fail as a whole.
    """
    if seen is None:
        cursor = connection.execute(
            "INSERT OR IGNORE INTO position VALUES (?, ?, ?, ?)",
            (group, topic, partition, next_offset),
        )
    else:
        cursor = connection.execute(
            "UPDATE position SET next_offset = ? WHERE consumer_group = ? AND topic = ?"
            " AND partition = ? AND next_offset = ?",
            (next_offset, group, topic, partition, seen),
        )
    if cursor.rowcount != 1:
        raise Superseded(
            f"group {group} no longer stands at {seen} in {topic}[{partition}]: "
            "another process went on from there"
        )
