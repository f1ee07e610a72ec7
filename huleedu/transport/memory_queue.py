"""The messages in memory that wait for one group on one topic: bounded, in order per key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio

from huleedu.core.message import Message


class Origin(Protocol):
    """Where entries come from, to be told what became of them."""

    def done(self, entry: "Entry") -> None:
        """Note an entry as handled."""
        ...

    def failed(self, entries: Sequence["Entry"], at: float) -> None:
        """Bring entries again, each alone, not before ``at`` (event loop seconds)."""
        ...


@dataclass(frozen=True)
class Entry:
    """A message in a queue, and where it came from."""

    origin: Origin
    row_id: int
    message: Message
    attempt: int = 1
    """From 2 on the message is delivered alone."""


class TopicQueue:
    """Hands out messages so that no two deliveries hold the same key at once."""

    def __init__(self, messages_max: int) -> None:
        self.messages_max = messages_max
        self._entries: list[Entry] = []
        self._keys_under_way: set[bytes] = set()
        self._messages_under_way = 0
        self._changed = anyio.Event()
        self._is_closed = False
        self._when_freed: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._entries) + self._messages_under_way

    @property
    def room(self) -> int:
        """How many messages more may be put; 0 once the queue is closed."""
        return 0 if self._is_closed else max(0, self.messages_max - len(self))

    def when_freed(self, notify: Callable[[], None]) -> None:
        """Have ``notify`` called whenever there may be more room."""
        self._when_freed.append(notify)

    def put(self, entry: Entry) -> None:
        """Add a message behind all others; the caller has looked for room."""
        self._entries.append(entry)
        self._tell()

    def close(self) -> None:
        """Hand out nothing any more, and forget what waits: its origin still has it."""
        self._is_closed = True
        self._entries = []

    async def take(self, batch_max: int) -> Sequence[Entry]:
        """Return the next messages that may be handled now; waits until there are some."""
        while True:
            picked = self._pick(batch_max)
            if picked:
                return picked
            await self._changed.wait()

    def release(self, entries: Sequence[Entry]) -> None:
        """Let the keys of entries that were taken be handed out again."""
        self._keys_under_way -= {entry.message.key for entry in entries}
        self._messages_under_way -= len(entries)
        self._tell()
        self._tell_freed()

    def withdraw(self, origin: Origin, key: bytes) -> Sequence[Entry]:
        """Take back what waits of one key from one origin, and return it."""
        withdrawn = [one for one in self._entries if _is_of(one, origin, key)]
        if withdrawn:
            self._entries = [one for one in self._entries if not _is_of(one, origin, key)]
        return withdrawn

    def _pick(self, batch_max: int) -> Sequence[Entry]:
        blocked = set(self._keys_under_way)
        picked: list[Entry] = []
        left: list[Entry] = []
        for index, entry in enumerate(self._entries):
            key = entry.message.key
            alone = entry.attempt > 1
            if key in blocked or (alone and picked):
                blocked.add(key)
                left.append(entry)
                continue
            picked.append(entry)
            if alone or len(picked) == batch_max:
                left += self._entries[index + 1 :]
                break
        if picked:
            self._entries = left
            self._keys_under_way |= {entry.message.key for entry in picked}
            self._messages_under_way += len(picked)
        return picked

    def _tell(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def _tell_freed(self) -> None:
        for notify in self._when_freed:
            notify()


def _is_of(entry: Entry, origin: Origin, key: bytes) -> bool:
    return entry.origin is origin and entry.message.key == key
