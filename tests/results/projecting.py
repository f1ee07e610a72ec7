"""A projection in memory, fed with messages."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta

from huleedu.core.envelope import decode
from huleedu.core.message import Message
from huleedu.core.topics import event_on
from huleedu.results.handlers import apply
from huleedu.results.model import BatchView
from huleedu.results.schema import MIGRATIONS
from huleedu.results.views import view
from huleedu.store.migrations import migrate
from huleedu.transport.consumer import Heard
from tests.results.story import START

MOMENT = START + timedelta(seconds=25)


def heard(message: Message) -> Heard:
    return Heard(event_on(message.topic), decode(message.topic, message.value), message)


class Projection:
    """What results makes of messages, in fetches of its caller's choice."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.connection, "results", MIGRATIONS)

    def hear(self, messages: Iterable[Message]) -> "Projection":
        apply(self.connection, [heard(message) for message in messages], MOMENT)
        return self

    def view(self, batch_id: str = "batch-1", now: datetime = MOMENT) -> BatchView:
        return view(self.connection, batch_id, now)

    def close(self) -> None:
        self.connection.close()


def seen_after(*messages: Message, now: datetime = MOMENT) -> BatchView:
    """What the batch of the story comes to after these messages, heard one by one."""
    projection = Projection()
    for message in messages:
        projection.hear([message])
    try:
        return projection.view(now=now)
    finally:
        projection.close()
