"""The messages that wait for one group on one topic: bounded, in order per key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import anyio

from huleedu.core.message import Message


def nothing() -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Entry:
    """A message in a queue, and whom to tell when it is handled, or never will be."""

    message: Message
    acknowledge: Callable[[], None]
    abandon: Callable[[], None] = nothing
    attempt: int = 1
    not_before: float = 0.0

    def again(self, at: float) -> "Entry":
        """Return the entry for its next attempt, not before ``at`` (event loop seconds)."""
        return replace(self, attempt=self.attempt + 1, not_before=at)


class TopicQueue:
    """Hands out messages so that no two deliveries hold the same key at once.

    A message that failed waits for its next attempt, is then delivered alone, and holds up only
    the messages behind it that share its key.
    """

    def __init__(self, messages_max: int) -> None:
        self._messages_max = messages_max
        self._entries: list[Entry] = []
        self._keys_under_way: set[bytes] = set()
        self._messages_under_way = 0
        self._changed = anyio.Event()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._entries) + self._messages_under_way

    async def put(self, entry: Entry) -> None:
        """Add a message behind all others; waits while the queue is full."""
        while len(self) >= self._messages_max and not self._is_closed:
            await self._changed.wait()
        if self._is_closed:
            entry.abandon()
        else:
            self._entries.append(entry)
            self._tell()

    def close(self) -> None:
        """Hand out nothing any more: what waits and what comes is abandoned."""
        self._is_closed = True
        waiting, self._entries = self._entries, []
        for entry in waiting:
            entry.abandon()
        self._tell()

    async def take(self, batch_max: int) -> Sequence[Entry]:
        """Return the next messages that may be handled now; waits until there are some."""
        while True:
            now = anyio.current_time()
            picked = self._pick(batch_max, now)
            if picked:
                return picked
            with anyio.move_on_at(self._next_attempt_after(now)):
                await self._changed.wait()

    def done(self, entries: Sequence[Entry]) -> None:
        """Forget messages that were handled, and acknowledge them."""
        self._release(entries)
        for entry in entries:
            entry.acknowledge()

    def put_back(self, entries: Sequence[Entry], at: float) -> None:
        """Return messages that were not handled to the front, for another attempt at ``at``."""
        if self._is_closed:
            for entry in entries:
                entry.abandon()
        else:
            self._entries[:0] = [entry.again(at) for entry in entries]
        self._release(entries)

    def _release(self, entries: Sequence[Entry]) -> None:
        self._keys_under_way -= {entry.message.key for entry in entries}
        self._messages_under_way -= len(entries)
        self._tell()

    def _pick(self, batch_max: int, now: float) -> Sequence[Entry]:
        blocked = set(self._keys_under_way)
        picked: list[Entry] = []
        left: list[Entry] = []
        for index, entry in enumerate(self._entries):
            key = entry.message.key
            alone = entry.attempt > 1
            if key in blocked or entry.not_before > now or (alone and picked):
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

    def _next_attempt_after(self, now: float) -> float:
        return min(
            (e.not_before for e in self._entries if e.not_before > now), default=float("inf")
        )

    def _tell(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
