"""One group's place in one topic of one outbox.

The lane reads rows from disk, in order, as far as the group's queue has room.  A key whose row must
be tried again leaves the queue: of it the lane keeps only row ids, passes over its further rows,
and reads them by their key once it is free.  So neither a slow group nor a waiting key holds up
anybody else, however many rows there are.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import anyio

from huleedu.store import outbox
from huleedu.store.outbox import OutboxRow
from huleedu.transport.memory_queue import Entry, TopicQueue

T = TypeVar("T")

SLICE_ROWS = 200
KEYS_AT_ONCE = 20
KEY_SLICE_ROWS = 100
WAITING_KEYS_MAX = 1_000
"""Beyond as many, nothing further of the lane is read until one of them is free again."""


class LaneOutbox(Protocol):
    """The outbox that a lane reads."""

    @property
    def is_behind(self) -> bool:
        """Whether so much is handled and not marked that nothing more should be."""
        ...

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of ``query``, however often it has to be tried."""
        ...

    def note_handled(self, topic: str, row_id: int, group: str) -> None:
        """Note that a group has handled a row."""
        ...


@dataclass(frozen=True)
class Listener:
    """One group on one topic: where its messages are queued, from every outbox."""

    group: str
    topic: str
    queue: TopicQueue


@dataclass
class _WaitingKey:
    """A key whose rows are read one after another: its head is tried again, or the rest follows."""

    next_id: int
    """The first row that may not be handled yet."""
    alone_until: int
    """Rows up to here failed in company, and are delivered one by one."""
    last_id: int
    """The last row of the key that the lane has passed."""
    attempt: int
    not_before: float
    queued_until: int | None = None
    """The last row in the queue or under way; None: none is."""


class Lane:
    """Brings the rows of one topic of an outbox to one group."""

    def __init__(self, listener: Listener, rows: LaneOutbox) -> None:
        self._listener = listener
        self._rows = rows
        self._slice_rows = min(SLICE_ROWS, max(1, listener.queue.messages_max // 2))
        self._cursor = 0
        self._last_id = 0
        self._waiting: dict[bytes, _WaitingKey] = {}
        self._changed = anyio.Event()
        listener.queue.when_freed(self.wake)

    async def run(self) -> None:
        """Keep the queue filled until cancelled."""
        while True:
            self._changed = anyio.Event()
            if not await self._fill():
                with anyio.move_on_at(self._next_attempt_at()):
                    await self._changed.wait()

    def extend(self, last_id: int) -> None:
        """Note that the topic has rows up to this id."""
        if last_id > self._last_id:
            self._last_id = last_id
            self.wake()

    def wake(self) -> None:
        """Look for rows that can be brought."""
        self._changed.set()

    def troubles(self) -> Sequence[str]:
        """Return what keeps the whole lane from being read on."""
        if len(self._waiting) < WAITING_KEYS_MAX:
            return []
        return [
            f"{self._listener.group} on {self._listener.topic}: messages of "
            f"{len(self._waiting)} keys wait to be tried again; the rest waits behind them"
        ]

    # What the queue's consumers tell (see ``memory_queue.Origin``).

    def done(self, entry: Entry) -> None:
        """Note an entry as handled; the next one of a waiting key may follow."""
        self._rows.note_handled(self._listener.topic, entry.row_id, self._listener.group)
        waiting = self._waiting.get(entry.message.key)
        if waiting is None:
            return
        waiting.next_id = entry.row_id + 1
        if waiting.queued_until is not None and entry.row_id >= waiting.queued_until:
            waiting.queued_until = None
            waiting.attempt = 2 if waiting.next_id <= waiting.alone_until else 1
            if waiting.next_id > waiting.last_id:
                del self._waiting[entry.message.key]
        self.wake()

    def failed(self, entries: Sequence[Entry], at: float) -> None:
        """Bring entries again, each alone, not before ``at`` (event loop seconds)."""
        by_key: dict[bytes, list[Entry]] = {}
        for entry in entries:
            by_key.setdefault(entry.message.key, []).append(entry)
        for key, several in by_key.items():
            passed = [*several, *self._listener.queue.withdraw(self, key)]
            before = self._waiting.get(key)
            last_ids = [one.row_id for one in passed]
            alone_until = several[-1].row_id
            if before is not None:
                last_ids.append(before.last_id)
                alone_until = max(alone_until, before.alone_until)
            self._waiting[key] = _WaitingKey(
                several[0].row_id, alone_until, max(last_ids), several[0].attempt + 1, at
            )
        self.wake()

    # What fills the queue.

    async def _fill(self) -> bool:
        """Bring some rows; tell whether there may be more to bring at once."""
        if not self._may_fill:
            return False
        return await self._bring_waiting() or await self._read_on()

    @property
    def _may_fill(self) -> bool:
        # Only where a slice fits: a read for each message that is handled would cost too much.
        return not self._rows.is_behind and self._listener.queue.room >= self._slice_rows

    async def _bring_waiting(self) -> bool:
        now = anyio.current_time()
        due = {
            key: waiting
            for key, waiting in self._waiting.items()
            if waiting.queued_until is None and waiting.not_before <= now
        }
        if not due:
            return False
        some = dict(list(due.items())[:KEYS_AT_ONCE])
        found = await self._rows.read(partial(self._rows_of, waiting=some))
        for key, rows in found.items():
            self._follow_up(key, some[key], rows)
        return True

    def _rows_of(
        self, connection: sqlite3.Connection, waiting: Mapping[bytes, _WaitingKey]
    ) -> Mapping[bytes, Sequence[OutboxRow]]:
        topic, group = self._listener.topic, self._listener.group
        return {
            key: outbox.unsent_of_key(
                connection,
                topic,
                key,
                (one.next_id, one.last_id),
                1 if one.next_id <= one.alone_until else KEY_SLICE_ROWS,
                group,
            )
            for key, one in waiting.items()
        }

    def _follow_up(self, key: bytes, waiting: _WaitingKey, rows: Sequence[OutboxRow]) -> None:
        queue = self._listener.queue
        for row in rows[: queue.room]:
            queue.put(Entry(self, row.id, row.message, waiting.attempt))
            waiting.queued_until = row.id
        is_free = not rows or (waiting.attempt == 1 and waiting.queued_until == waiting.last_id)
        if is_free:
            del self._waiting[key]

    async def _read_on(self) -> bool:
        last_id = self._last_id
        if self._cursor >= last_id or len(self._waiting) >= WAITING_KEYS_MAX:
            return False
        query = partial(
            outbox.unsent,
            topic=self._listener.topic,
            after=self._cursor,
            limit=self._slice_rows,
            group=self._listener.group,
        )
        rows = await self._rows.read(query)
        if not rows:
            self._cursor = max(self._cursor, last_id)
        for row in rows:
            waiting = self._waiting.get(row.message.key)
            if waiting is not None:
                waiting.last_id = row.id
            elif self._listener.queue.room:
                self._listener.queue.put(Entry(self, row.id, row.message))
            else:
                break
            self._cursor = row.id
        return True

    def _next_attempt_at(self) -> float:
        if not self._may_fill:
            return float("inf")
        return min(
            (one.not_before for one in self._waiting.values() if one.queued_until is None),
            default=float("inf"),
        )
