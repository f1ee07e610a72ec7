"""Progress of a delivery by positions: they move in the transaction of the effects."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from huleedu.core.message import Message
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


class NoProgress:
    """Progress of a consumer without a store: its offsets are committed after it has answered."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages

    def advance(self, connection: sqlite3.Connection) -> Sequence[Message]:
        """Return the messages; the broker keeps where the group stands."""
        del connection
        return self._messages
