"""One outbox of the memory bus: who is to read its rows, and which rows are handled.

The row is the durable message.  Each group that listens to its topic has a lane, with a place of
its own; a row is marked as sent once every one of them has handled it.  Until then it is noted in
the store which groups have, so that a restart brings the row only to those that have not.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from huleedu.core.errors import StoreUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.metrics import RELAY_PUBLISHED
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.outbox import RowHandled
from huleedu.transport.failures import pause_seconds
from huleedu.transport.memory_lane import Lane, Listener
from huleedu.transport.outbox_gauges import GAUGE_SECONDS, group_too_far_behind, measure_outbox

T = TypeVar("T")

UNMARKED_ROWS_MAX = 1_000
NOTE_SECONDS = 1.0
"""How long a row that some groups have handled waits in memory for the others."""


@dataclass
class _Row:
    """A row that some group has handled since it was last marked."""

    topic: str
    by: set[str]
    since: float


class OutboxRelay:
    """Brings one store's outbox to the groups of this process, and marks what they handled."""

    def __init__(
        self,
        database: Database,
        listeners: Mapping[str, Sequence[Listener]],
        platform: Platform,
    ) -> None:
        """``listeners``: topic → its groups; complete before ``run``."""
        self.database = database
        self._listeners = listeners
        self._platform = platform
        self._module = database.path.stem
        self._lanes: dict[str, list[Lane]] = {}
        self._handled: dict[int, _Row] = {}
        self._complete: set[int] = set()
        self._to_mark = anyio.Event()
        self._to_settle: set[str] = set()
        self._committed = anyio.Event()
        self._troubles: dict[str, str] = {}
        self._behind: dict[str, str] = {}
        self._logger = create_service_logger("relay")
        database.after_commit(self._note_commit)

    async def run(self) -> None:
        """Bring rows until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_marking)
            tasks.start_soon(self._measure)
            while True:
                self._committed = anyio.Event()
                await self._find_work(tasks)
                await self._committed.wait()

    def troubles(self) -> Sequence[str]:
        """Return why rows cannot be read or marked, if so."""
        return list(self._troubles.values())

    def held_up(self) -> Sequence[str]:
        """Return which groups read nothing further, or have left too much unhandled."""
        full = [told for lanes in self._lanes.values() for one in lanes for told in one.troubles()]
        return [*full, *self._behind.values()]

    async def mark_rest(self) -> None:
        """Mark what was handled while the relay stopped; unmarked rows would come again."""
        try:
            await self._mark(list(self._handled))
        except StoreUnavailable as fault:
            self._logger.warning("outbox_unavailable", module=self._module, error=str(fault))

    # What lanes ask (see ``memory_lane.LaneOutbox``).

    @property
    def is_behind(self) -> bool:
        """Whether so much is handled and not marked that nothing more should be."""
        return len(self._handled) >= UNMARKED_ROWS_MAX

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of ``query``, however often it has to be tried."""
        return await self._until_it_works("read", partial(self.database.read, query))

    def note_handled(self, topic: str, row_id: int, group: str) -> None:
        """Note that a group has handled a row."""
        row = self._handled.get(row_id)
        if row is None:
            row = self._handled[row_id] = _Row(topic, set(), anyio.current_time())
            if len(self._handled) == 1:
                self._to_mark.set()
        row.by.add(group)
        if row.by >= self._groups(topic):
            self._complete.add(row_id)
        if row_id in self._complete or self.is_behind:
            self._to_mark.set()

    def _groups(self, topic: str) -> frozenset[str]:
        return frozenset(one.group for one in self._listeners.get(topic, ()))

    def _note_commit(self) -> None:
        self._committed.set()

    async def _find_work(self, tasks: TaskGroup) -> None:
        for topic, last_id in (await self.read(outbox.topics_waiting)).items():
            lanes = self._lanes.get(topic)
            if not lanes:
                # Rows may be left that nobody listens to, or all have handled who still do.
                self._to_settle.add(topic)
                self._to_mark.set()
            if lanes is None:
                lanes = self._lanes[topic] = [
                    Lane(listener, self) for listener in self._listeners.get(topic, ())
                ]
                for lane in lanes:
                    tasks.start_soon(lane.run)
            for lane in lanes:
                lane.extend(last_id)

    async def _settle(self) -> None:
        now = self._platform.clock.now()
        for topic in sorted(self._to_settle):
            mark = partial(
                outbox.mark_handled_by_all, topic=topic, groups=self._groups(topic), now=now
            )
            await self.database.write(mark)
            self._to_settle.discard(topic)

    async def _keep_marking(self) -> None:
        while True:
            with anyio.move_on_at(self._next_note_at()):
                await self._to_mark.wait()
            self._to_mark = anyio.Event()
            await self._until_it_works("mark", self._settle)
            await self._until_it_works("mark", self._mark_due)

    def _next_note_at(self) -> float:
        # Rows are in the order of their first mark.
        return next((row.since + NOTE_SECONDS for row in self._handled.values()), float("inf"))

    async def _mark_due(self) -> None:
        due = list(self._handled)
        if not self.is_behind:
            now, rows = anyio.current_time(), self._handled
            due = [i for i in due if i in self._complete or rows[i].since + NOTE_SECONDS <= now]
        await self._mark(due)

    async def _mark(self, row_ids: Sequence[int]) -> None:
        """Note what is handled of these rows; what other groups do meanwhile is noted later."""
        if not row_ids:
            return
        rows = {row_id: self._handled.pop(row_id) for row_id in row_ids}
        self._complete -= rows.keys()
        handled = [RowHandled(i, row.by, self._groups(row.topic)) for i, row in rows.items()]
        now = self._platform.clock.now()
        is_written = False
        try:
            sent = await self.database.write(lambda db: outbox.mark_handled(db, handled, now))
            is_written = True
        finally:
            if not is_written:
                self._put_back(rows)
        RELAY_PUBLISHED.labels(self._module).inc(sent)
        for lane in (one for lanes in self._lanes.values() for one in lanes):
            lane.wake()

    def _put_back(self, rows: Mapping[int, _Row]) -> None:
        later, self._handled = self._handled, {}
        for row_id, row in [*rows.items(), *later.items()]:
            merged = self._handled.setdefault(row_id, row)
            merged.by |= row.by
            if merged.by >= self._groups(row.topic):
                self._complete.add(row_id)

    async def _measure(self) -> None:
        while True:
            rows = await self._until_it_works(
                "measure", partial(measure_outbox, self.database, self._platform.clock)
            )
            if rows:
                # A commit whose task was torn away told nobody: look now and then.
                self._committed.set()
            await self._until_it_works("measure", self._measure_groups)
            await self._platform.clock.sleep(GAUGE_SECONDS)

    async def _measure_groups(self) -> None:
        topics: dict[str, set[str]] = {}
        for listener in (one for several in self._listeners.values() for one in several):
            topics.setdefault(listener.group, set()).add(listener.topic)
        for group, heard in topics.items():
            told = await group_too_far_behind(self.database, heard, group, self._platform.clock)
            if told is None:
                self._behind.pop(group, None)
                continue
            if group not in self._behind:
                self._logger.critical("group_too_far_behind", group=group, reason=told)
            self._behind[group] = told

    async def _until_it_works(self, activity: str, work: Callable[[], Awaitable[T]]) -> T:
        attempt = 1
        while True:
            try:
                result = await work()
            except StoreUnavailable as fault:
                self._troubles[activity] = f"outbox of {self._module} ({activity}): {fault}"
                self._logger.warning("outbox_unavailable", module=self._module, error=str(fault))
                await self._platform.clock.sleep(pause_seconds(attempt, self._platform.random))
                attempt += 1
            else:
                self._troubles.pop(activity, None)
                return result
