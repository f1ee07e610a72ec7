"""Messages that wait for another attempt, kept in their group's store while others go on.

A row is written in the transaction that moves the position past its message, and deleted in that
of the message's effects: whoever comes too late for either fails as a whole.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

import msgspec

from huleedu.core.clock import to_text
from huleedu.core.message import Message
from huleedu.store.positions import Superseded


class Parked(msgspec.Struct, frozen=True):
    """A message that waits: which one, and how often it was tried."""

    id: int
    topic: str
    partition: int
    key: bytes
    attempts: int


def waiting(
    connection: sqlite3.Connection, group: str, topic: str, partition: int
) -> Sequence[Parked]:
    """Return what waits in a partition, oldest first."""
    rows = connection.execute(
        "SELECT id, topic, partition, key, attempts FROM parked"
        " WHERE consumer_group = ? AND topic = ? AND partition = ? ORDER BY id",
        (group, topic, partition),
    )
    return [Parked(*row) for row in rows]


def park(
    connection: sqlite3.Connection, group: str, message: Message, attempts: int, now: datetime
) -> Parked:
    """Keep a message that was read from a partition, in the transaction that passes over it."""
    assert message.partition is not None, "read from a partition"
    cursor = connection.execute(
        "INSERT INTO parked (consumer_group, topic, partition, offset, key, value, headers,"
        " attempts, parked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            group,
            message.topic,
            message.partition,
            message.offset,
            message.key,
            message.value,
            msgspec.json.encode(message.headers),
            attempts,
            to_text(now),
        ),
    )
    assert cursor.lastrowid is not None
    return Parked(cursor.lastrowid, message.topic, message.partition, message.key, attempts)


def message_of(connection: sqlite3.Connection, row: Parked) -> Message | None:
    """Return the message as it was read; None when it does not wait any more."""
    found = connection.execute(
        "SELECT value, headers, offset FROM parked WHERE id = ?", (row.id,)
    ).fetchone()
    if found is None:
        return None
    value, headers, offset = found
    decoded = msgspec.json.decode(headers, type=dict[str, str])
    return Message(row.topic, row.key, value, decoded, row.partition, offset)


def failed(connection: sqlite3.Connection, row: Parked) -> None:
    """Count another attempt that did not help."""
    connection.execute("UPDATE parked SET attempts = attempts + 1 WHERE id = ?", (row.id,))


def take(connection: sqlite3.Connection, group: str, row: Parked) -> None:
    """Delete a message in the transaction of its effects.

    Raises ``Superseded`` when it does not wait any more: another process handled it.
    """
    if connection.execute("DELETE FROM parked WHERE id = ?", (row.id,)).rowcount != 1:
        raise Superseded(
            f"group {group}: another process handled a message of "
            f"{row.topic}[{row.partition}] that was parked"
        )
