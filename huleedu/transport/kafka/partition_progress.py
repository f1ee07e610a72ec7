"""Progress of a delivery by positions: they move in the transaction of the effects."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiokafka import TopicPartition

from huleedu.core.message import Message
from huleedu.store import parked
from huleedu.store.parked import Parked
from huleedu.store.positions import Position, move


@dataclass(frozen=True)
class Step:
    """The position of one partition before and after a delivery."""

    seen: Position
    next_offset: int


class PartitionProgress:
    """Moves the positions of every partition of a delivery (see ``protocol.Progress``)."""

    def __init__(
        self, group: str, messages: Sequence[Message], steps: Mapping[TopicPartition, Step]
    ) -> None:
        self._group = group
        self._messages = messages
        self._steps = steps

    def advance(self, connection: sqlite3.Connection) -> Sequence[Message]:
        """Return the messages.  Raises ``Superseded`` when another process moved a position."""
        for partition, step in self._steps.items():
            to = Position(step.next_offset, step.seen.topic_id)
            move(connection, self._group, *partition, seen=step.seen, to=to)
        return self._messages


class ParkingProgress(PartitionProgress):
    """Moves the positions, and parks messages that the delivery passes over."""

    def __init__(
        self,
        group: str,
        messages: Sequence[Message],
        steps: Mapping[TopicPartition, Step],
        passed_over: Sequence[Message],
        attempts: int,
        now: datetime,
    ) -> None:
        super().__init__(group, messages, steps)
        self._passed_over = passed_over
        self._attempts = attempts
        self._now = now
        self.parked: Sequence[Parked] = ()
        """The rows of those passed over, in their order, once the transaction is over."""

    def advance(self, connection: sqlite3.Connection) -> Sequence[Message]:
        """Return the messages to be handled.  Raises ``Superseded`` as its base does."""
        messages = super().advance(connection)
        self.parked = [
            parked.park(connection, self._group, message, self._attempts, self._now)
            for message in self._passed_over
        ]
        return messages


class ParkedProgress:
    """Progress of a message that was parked: it is taken out of the store with its effects."""

    def __init__(self, group: str, row: Parked, message: Message) -> None:
        self._group = group
        self._row = row
        self._message = message

    def advance(self, connection: sqlite3.Connection) -> Sequence[Message]:
        """Return the message.  Raises ``Superseded`` when another process took it."""
        parked.take(connection, self._group, self._row)
        return [self._message]


class NoProgress:
    """Progress of a consumer without a store: its offsets are committed after it has answered."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages

    def advance(self, connection: sqlite3.Connection) -> Sequence[Message]:
        """Return the messages; the broker keeps where the group stands."""
        del connection
        return self._messages
