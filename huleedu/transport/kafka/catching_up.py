"""What a relay does to an outbox once the broker has told how far it is published."""

import sqlite3
from datetime import datetime
from typing import NamedTuple

from huleedu.store.outbox import last_given_id
from huleedu.store.outbox_identity import read_openings, renew
from huleedu.transport.kafka.outbox_slices import (
    before_unsent,
    mark_sent_up_to,
    unmark_rolled_back,
)
from huleedu.transport.kafka.shared_rows import Position, shared_up_to


class CaughtUp(NamedTuple):
    """What came of it."""

    after: Position
    """From where to go on."""
    marked: int
    rolled_back: int
    renewed: bool
    """The position is of another file: the outbox has a new id, under which nothing is known."""


def catch_up(connection: sqlite3.Connection, position: Position | None, now: datetime) -> CaughtUp:
    """Mark the rows up to ``position``, and only those.

    Where it is of another file with the same id, only the rows that both have in common.
    """
    openings, last_id = read_openings(connection), last_given_id(connection)
    marked = rolled_back = 0
    shared = None if position is None else shared_up_to(position, openings, last_id)
    if shared is not None:
        rolled_back = unmark_rolled_back(connection, shared)
        sent_up_to = _sent_up_to(connection)
        if shared > sent_up_to:
            marked = mark_sent_up_to(connection, sent_up_to, shared, now)
    renewed = position is not None and shared != position.row_id
    if renewed:
        renew(connection)
    after = Position(_sent_up_to(connection), openings)
    return CaughtUp(after, marked, rolled_back, renewed)


def _sent_up_to(connection: sqlite3.Connection) -> int:
    before = before_unsent(connection)
    return last_given_id(connection) if before is None else before
