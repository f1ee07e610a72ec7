"""The dead letters of the embedded bus, kept in a store of their own.

A replay leaves through the outbox of that store, put there together with the note that the dead
letter is settled; so it does not matter whether the program that relays it runs at that moment.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.clock import to_text
from huleedu.core.errors import StoreUnavailable
from huleedu.core.platform import Platform
from huleedu.store.database import Database
from huleedu.store.housekeeping import KEEP_SENT, Chore
from huleedu.store.migrations import Migrations
from huleedu.store.outbox import outbox_migrations, purge_sent
from huleedu.store.purging import Purge
from huleedu.transport import replays
from huleedu.transport.failures import ERROR_MESSAGE
from huleedu.transport.protocol import Delivery

DEAD_LETTER_GROUP = "dead-letters"
STORE_NAME = "dead_letters"
"""Of the store's file, without its ending."""
KEEP_SETTLED = timedelta(days=30)

dead_letter_migrations = Migrations("dead_letter")


@dead_letter_migrations()
def create_dead_letter(database: SchemaDatabase) -> None:
    """One row for each event that a group set aside; the bytes as they were received."""
    database.conn.execute("""
        CREATE TABLE dead_letter (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            topic TEXT NOT NULL,
            consumer_group TEXT NOT NULL,
            event_id TEXT NOT NULL,
            key BLOB NOT NULL,
            value BLOB NOT NULL,
            headers BLOB NOT NULL,
            kept_at TEXT NOT NULL,
            UNIQUE (topic, consumer_group, event_id)
        ) STRICT""")


@dead_letter_migrations()
def add_settlement(database: SchemaDatabase) -> None:
    """Whether somebody has decided about a dead letter, how, and when; NULL: it waits."""
    database.conn.execute(
        "ALTER TABLE dead_letter ADD COLUMN settled_as TEXT"
        " CHECK (settled_as IN ('replayed', 'discarded'))"
    )
    database.conn.execute("ALTER TABLE dead_letter ADD COLUMN settled_at TEXT")
    database.conn.execute(
        "CREATE INDEX dead_letter_settled ON dead_letter (settled_at) WHERE settled_at IS NOT NULL"
    )


@dead_letter_migrations()
def add_audiences(database: SchemaDatabase) -> None:
    """Whether a dead letter was replayed to its group, and whether to every group; 0 or 1.

    Up to here both replays had the id that a replay to the group has.
    """
    for column in ("replayed_to_group", "replayed_to_everyone"):
        database.conn.execute(
            f"ALTER TABLE dead_letter ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0"
        )
    database.conn.execute(
        "UPDATE dead_letter SET replayed_to_group = consumer_group <> '',"
        " replayed_to_everyone = consumer_group = '' WHERE settled_as = 'replayed'"
    )


DEAD_LETTER_MIGRATIONS = (dead_letter_migrations, outbox_migrations)
"""What the store consists of, where dead letters are to be replayed too."""


class DeadLetterKeeper:
    """Listens to every dead-letter topic and keeps what it hears, once."""

    def __init__(self, database: Database, platform: Platform) -> None:
        self._database = database
        self._platform = platform

    async def handle(self, delivery: Delivery) -> None:
        """Keep the dead letters.  Raises ``StoreUnavailable``: then they come again."""
        kept_at = to_text(self._platform.clock.now())
        rows = [
            (
                message.topic,
                message.headers.get(replays.GROUP, ""),
                message.event_id,
                message.key,
                message.value,
                msgspec.json.encode(message.headers),
                kept_at,
            )
            for message in delivery.messages
        ]
        await self._database.write(lambda connection: _keep(connection, rows))

    async def set_aside(self, delivery: Delivery, cause: Mapping[str, str]) -> None:
        """Keep nothing: a dead letter of a dead letter helps nobody.

        Raises ``StoreUnavailable``: it stays where it is and comes again.
        """
        raise StoreUnavailable(
            f"the dead letter {delivery.messages[0].event_id} cannot be kept: "
            f"{cause.get(ERROR_MESSAGE)}"
        )


def _keep(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO dead_letter"
        " (topic, consumer_group, event_id, key, value, headers, kept_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


purge_settled = Purge("dead_letter", "id", "settled_at")
"""Forgets dead letters that somebody decided about; one that waits stays."""


def dead_letter_chores(store: Database) -> Sequence[Chore]:
    """Return what the store forgets: replays that were published, and what is settled for long."""
    return [Chore(store, purge_sent, KEEP_SENT), Chore(store, purge_settled, KEEP_SETTLED)]
