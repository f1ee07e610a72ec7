"""An outbox read in the order of its rows, all topics together, and marked up to a position.

A row's id is given in the transaction that commits it, by a single writer, and never twice: so no
row ever appears below one that was read, and "all up to this id" names the same rows for ever.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from huleedu.core.clock import to_text
from huleedu.core.message import Message
from huleedu.store.outbox import last_given_id
from huleedu.store.outbox_identity import (
    Opening,
    acknowledged_id,
    note_acknowledged,
    read_openings,
)
from huleedu.transport.kafka.shared_rows import Position, shared_up_to

SLICE_ROWS = 1_000
SLICE_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Slice:
    """Unsent rows that follow one another; empty when there are none."""

    messages: Sequence[Message]
    last_id: int
    openings: tuple[Opening, ...]
    """Of the file, by now."""

    @property
    def position(self) -> Position:
        """How far the outbox is published once these rows are."""
        return Position(self.last_id, self.openings)


def before_unsent(connection: sqlite3.Connection) -> int | None:
    """Return an id that is just below the oldest unsent row; None when every row is sent."""
    (oldest,) = connection.execute(
        "SELECT min(id) FROM outbox INDEXED BY outbox_unsent WHERE sent_at IS NULL"
    ).fetchone()
    return None if oldest is None else int(oldest) - 1


def read_following(connection: sqlite3.Connection, position: Position) -> Slice | None:
    """Return the next slice; None when the rows up to ``position`` are not this file's any more."""
    shared = shared_up_to(position, read_openings(connection), last_given_id(connection))
    return read_slice(connection, position.row_id) if shared == position.row_id else None


def read_slice(
    connection: sqlite3.Connection,
    after: int,
    rows_max: int = SLICE_ROWS,
    bytes_max: int = SLICE_BYTES,
) -> Slice:
    """Return the unsent rows with ids above ``after``, in order.

    At most ``rows_max``, and no more once they have ``bytes_max`` bytes.
    """
    # NOT INDEXED: by id; the index over unsent rows would sort a whole backlog for every slice.
    rows = connection.execute(
        "SELECT id, topic, key, value, headers FROM outbox NOT INDEXED"
        " WHERE id > ? AND sent_at IS NULL ORDER BY id LIMIT ?",
        (after, rows_max),
    )
    messages: list[Message] = []
    size = 0
    last_id = after
    for row_id, topic, key, value, headers in rows:
        messages.append(Message(topic, key, value, msgspec.json.decode(headers)))
        last_id = row_id
        size += len(key) + len(value) + len(headers)
        if size >= bytes_max:
            break
    return Slice(messages, last_id, read_openings(connection))


def mark_sent_up_to(connection: sqlite3.Connection, after: int, last_id: int, now: datetime) -> int:
    """Note that the rows above ``after``, up to ``last_id``, are sent; return how many were not."""
    cursor = connection.execute(
        "UPDATE outbox NOT INDEXED SET sent_at = ? WHERE id > ? AND id <= ? AND sent_at IS NULL",
        (to_text(now), after, last_id),
    )
    note_acknowledged(connection, max(last_id, acknowledged_id(connection)))
    return cursor.rowcount


def unmark_rolled_back(connection: sqlite3.Connection, position: int) -> int:
    """Let the rows above ``position`` that a broker had acknowledged be sent again.

    Returns how many they are.  A broker may roll back what it had acknowledged (``undecided``);
    what was sent in another way, as by a bus in memory, stays sent.
    """
    acknowledged = acknowledged_id(connection)
    if position >= acknowledged:
        return 0
    cursor = connection.execute(
        "UPDATE outbox NOT INDEXED SET sent_at = NULL"
        " WHERE id > ? AND id <= ? AND sent_at IS NOT NULL",
        (position, acknowledged),
    )
    note_acknowledged(connection, position)
    return cursor.rowcount
