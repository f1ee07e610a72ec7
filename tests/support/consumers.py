"""Listeners for tests: what they heard, when, and how they fail."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime

import anyio
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.enums import ProcessingEvent
from huleedu.core.message import Message, event_message
from huleedu.core.messages import BatchProceedRequested, batch_reference, metadata_of
from huleedu.core.platform import Platform
from huleedu.core.topics import topic_name
from huleedu.store.migrations import Migrations
from huleedu.transport.consumer import Heard
from huleedu.transport.protocol import Delivery

PROCEED = topic_name(ProcessingEvent.BATCH_PROCEED_REQUESTED)
CANCELLED = topic_name(ProcessingEvent.BATCH_CANCELLED)

effect_migrations = Migrations("effect")


@effect_migrations()
def create_effect(database: SchemaDatabase) -> None:
    """Nothing here is unique, so that an effect that happens twice shows."""
    database.conn.execute(
        "CREATE TABLE effect (id INTEGER PRIMARY KEY AUTOINCREMENT, batch_id TEXT, event_id TEXT)"
        " STRICT"
    )


def note_effects(
    connection: sqlite3.Connection, heard: Sequence[Heard], _now: datetime
) -> Iterable[Message]:
    """What a module does, in short: change the state by each message."""
    connection.executemany(
        "INSERT INTO effect (batch_id, event_id) VALUES (?, ?)",
        [(one.batch_id, str(one.envelope.event_id)) for one in heard],
    )
    return []


def read_effects(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return batch and event of every effect, in the order in which they happened."""
    return connection.execute("SELECT batch_id, event_id FROM effect ORDER BY id").fetchall()


def proceed(platform: Platform, batch_id: str) -> Message:
    """Return a new message about a batch, keyed by it."""
    now = platform.clock.now()
    event = ProcessingEvent.BATCH_PROCEED_REQUESTED
    return event_message(
        event,
        BatchProceedRequested(
            batch_id=batch_id, metadata=metadata_of(batch_reference(batch_id), event, now)
        ),
        event_id=platform.ids.new(),
        at=now,
        source_service="test",
        correlation_id=None,
    )


async def succeed(_: Delivery) -> None:
    """Handle everything at once."""


class Recorder:
    """Keeps every delivery that it was given, and each message that it handled."""

    def __init__(self, behave: Callable[[Delivery], Awaitable[None]] = succeed) -> None:
        self.deliveries: list[Delivery] = []
        self.at: list[float] = []
        self.handled: list[Message] = []
        self.aside: list[tuple[Message, Mapping[str, str]]] = []
        self._behave = behave

    async def handle(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self.at.append(anyio.current_time())
        await self._behave(delivery)
        self.handled += delivery.messages

    async def set_aside(self, delivery: Delivery, cause: Mapping[str, str]) -> None:
        self.aside += [(message, cause) for message in delivery.messages]

    def values(self, key: bytes | None = None) -> list[bytes]:
        """Return what was handled, in order, of one key or of all."""
        return [m.value for m in self.handled if key in (None, m.key)]
