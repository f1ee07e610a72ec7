"""What the modules were seen to do: every message that became durable, every state in between."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from huleedu.core.envelope import decode
from huleedu.core.errors import MalformedMessage
from huleedu.core.message import Header, Message
from huleedu.core.messages import EventData
from huleedu.core.topics import DEAD_LETTER_SUFFIX
from huleedu.transport.dead_letters import STORE_NAME
from huleedu.transport.protocol import Delivery
from tests.simulation.effects import Taken
from tests.simulation.history import short_topic
from tests.simulation.stores import SimulatedConnection

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

Rows = sqlite3.Connection.execute
T = TypeVar("T")
_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


class Said(NamedTuple):
    """One message that some module said, as it is durable."""

    module: str
    message: Message
    data: EventData | None
    """None: it is a dead letter."""

    @property
    def attempt(self) -> int:
        return int(self.message.headers.get(Header.ATTEMPT, "1"))

    @property
    def key(self) -> str:
        return self.message.key.decode()


class EssayRow(NamedTuple):
    """An essay as ELS keeps it."""

    status: str
    attempt: int
    text_storage_id: str


class Log:
    """The evidence of one run; whoever watches it is told of each piece as it comes."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._last_id: dict[str, int] = defaultdict(int)
        self.said: list[Said] = []
        self.published: list[Message] = []
        """By roles without a store, at least once each."""
        self.taken: set[Taken] = set()
        """What took effect: a message, for one group."""
        self.ids: set[tuple[str, str]] = set()
        """Topic and event id of all that was said."""
        self.essays: dict[tuple[str, str], EssayRow] = {}
        self.handled: set[tuple[str, str]] = set()
        """Group and event id: it is durable, or was answered by a group without a store."""
        self.commits = 0

    def note_handled(self, delivery: Delivery) -> None:
        """Note that a group is done with some messages."""
        self.handled |= {(delivery.group, one.event_id) for one in delivery.messages}

    def unhandled(self, groups: Iterable[str]) -> list[str]:
        """Return what was said, and was never handled by one of these groups that hears it."""
        said = {one.event_id: one for one in (*(s.message for s in self.said), *self.published)}
        heard, excused = self._world.heard, self._world.lasting.excused
        return [
            f"{group} has not handled {short_topic(message.topic)} {event_id}"
            for group in groups
            for event_id, message in said.items()
            if message.topic in heard[group]
            and (group, event_id) not in self.handled
            and not excused(group, message)
        ]

    def committed(self, process: "Process", store: str, connection: SimulatedConnection) -> None:
        """Note what a commit made durable, and have it judged."""
        self.commits += 1
        self.handled |= {(t.group, t.event_id) for e in connection.effects for t in e.taken}
        # What roles without a store publish goes through the store of the bus, and is noted there.
        has_spoken = connection.has_spoken and store != STORE_NAME
        new = self._said(store, connection) if has_spoken else []
        names = " ".join(f"{short_topic(s.message.topic)}({s.key[:8]})" for s in new)
        self._world.tell(process.name, f"commits {store}" + (f": says {names}" if new else ""))
        if new or connection.has_moved or connection.effects:
            self._world.watch(store, connection, new)

    def publishing(self, process: "Process", message: Message) -> None:
        """Note a message that a role without a store is about to publish."""
        self.published.append(message)
        text = f"publishes {short_topic(message.topic)}({message.key.decode()[:8]})"
        self._world.tell(process.name, text)

    def of(self, kind: type[EventData]) -> list[Said]:
        """Return what was said of one kind."""
        return [one for one in self.said if isinstance(one.data, kind)]

    def data(self, kind: type[T], batch_id: str) -> list[T]:
        """Return what was said of one kind about a batch."""
        found = [one.data for one in self.said if one.key == batch_id]
        return [data for data in found if isinstance(data, kind)]

    def _said(self, store: str, connection: sqlite3.Connection) -> list[Said]:
        rows = Rows(
            connection,
            "SELECT id, topic, key, value, headers FROM outbox WHERE id > ? ORDER BY id",
            (self._last_id[store],),
        ).fetchall()
        if not rows:
            return []
        self._last_id[store] = rows[-1][0]
        new = [_heard(store, row) for row in rows]
        self.said += new
        return new


def _heard(module: str, row: tuple[Any, ...]) -> Said:
    _, topic, key, value, headers = row
    message = Message(topic, key, value, _decode_headers(headers))
    if topic.endswith(DEAD_LETTER_SUFFIX):
        return Said(module, message, None)
    try:
        return Said(module, message, decode(topic, value).data)
    except MalformedMessage:
        return Said(module, message, None)
