"""What a delivery changes, counted by SQLite itself: triggers of the simulation on every store.

The modules do not know of them.  What they write only to remember what they handled, said or hold
is no effect.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from huleedu.core.message import Message

NOTED = "simulation_noted"
"""The SQL function that the triggers call, with the name of the table."""

BOOKKEEPING = frozenset(
    {"handled", "position", "outbox_identity", "outbox_lease", "outbox_topics", "sqlite_sequence"}
)
"""Tables that tell what was handled and sent, not what it came to."""


class Taken(NamedTuple):
    """One message, as one group got it; the same again must change nothing."""

    group: str
    event_id: str
    digest: bytes
    """A checker that died may answer twice under one id, and differently: those are two."""

    @classmethod
    def of(cls, group: str, message: Message) -> "Taken":
        """Return what identifies a message to a group."""
        return cls(group, message.event_id, blake2b(message.value, digest_size=8).digest())


@dataclass
class Effect:
    """What came of one delivery in one transaction."""

    taken: tuple[Taken, ...]
    changes: Counter[str] = field(default_factory=Counter)
    """Table → rows that were added, changed or deleted."""


def add_triggers(connection: sqlite3.Connection) -> None:
    """Have a store tell of every row that changes."""
    tables = [
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if name not in BOOKKEEPING
    ]
    for table in tables:
        for statement in _triggers(connection, table):
            connection.execute(statement)


def _triggers(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    differs = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in columns)
    # Rows of an outbox are marked and forgotten by others than those who say them.
    moments = ("INSERT",) if table == "outbox" else ("INSERT", "DELETE", "UPDATE")
    for moment in moments:
        when = f" WHEN {differs}" if moment == "UPDATE" else ""
        yield (
            f"CREATE TRIGGER simulation_{moment.lower()}_{table} AFTER {moment} ON {table}{when}"
            f" BEGIN SELECT {NOTED}('{table}'); END"
        )
