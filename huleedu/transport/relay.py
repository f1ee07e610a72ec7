"""From an outbox to the embedded bus: every row until every group has handled it.

A row waits for no other unless they share topic and key: each topic has a lane of its own, a lane
hands rows over in order without waiting for their acknowledgement, and marks go to the store as
the acknowledgements come.  The mark is the truth: what has none is published again after a crash.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from huleedu.core.errors import StoreUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.message import Message
from huleedu.core.metrics import RELAY_PUBLISHED
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.transport.failures import pause_seconds
from huleedu.transport.outbox_gauges import GAUGE_SECONDS, measure_outbox

T = TypeVar("T")

Accept = Callable[[Message, Callable[[], None], Callable[[], None]], Awaitable[None]]
"""Takes a message for every group; calls back when the last one has handled it, or, on the second,
when one of them will not before a restart."""

SLICE_ROWS = 200
UNMARKED_ROWS_MAX = 1_000  # of one lane


class _Lane:
    """One topic of the outbox."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.last_seen_id = 0
        self.cursor = 0
        self.grew = anyio.Event()
        self.unmarked = anyio.Semaphore(UNMARKED_ROWS_MAX)


class OutboxRelay:
    """Publishes one store's outbox."""

    def __init__(self, database: Database, accept: Accept, platform: Platform) -> None:
        self._database = database
        self._accept = accept
        self._platform = platform
        self._module = database.path.stem
        self._lanes: dict[str, _Lane] = {}
        self._acknowledged: list[tuple[_Lane, int]] = []
        self._any_acknowledged = anyio.Event()
        self._committed = anyio.Event()
        self._troubles: dict[str, str] = {}
        self._logger = create_service_logger("relay")
        database.after_commit(self._note_commit)

    async def run(self) -> None:
        """Publish until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._mark_acknowledged)
            tasks.start_soon(self._measure)
            while True:
                self._committed = anyio.Event()
                await self._find_work(tasks)
                await self._committed.wait()

    def troubles(self) -> Sequence[str]:
        """Return why rows cannot be read or marked, if so."""
        return list(self._troubles.values())

    async def mark_rest(self) -> None:
        """Mark what was acknowledged while the relay stopped; unmarked rows would come again."""
        try:
            await self._mark(len(self._acknowledged))
        except StoreUnavailable as fault:
            self._logger.warning("outbox_unavailable", module=self._module, error=str(fault))

    def _note_commit(self) -> None:
        self._committed.set()

    async def _find_work(self, tasks: TaskGroup) -> None:
        waiting = await self._until_it_works(
            "read", partial(self._database.read, outbox.topics_waiting)
        )
        for topic, last_id in waiting.items():
            lane = self._lanes.get(topic)
            if lane is None:
                lane = self._lanes[topic] = _Lane(topic)
                tasks.start_soon(self._publish, lane)
            if last_id > lane.last_seen_id:
                lane.last_seen_id = last_id
                lane.grew.set()

    async def _publish(self, lane: _Lane) -> None:
        while True:
            lane.grew = anyio.Event()
            while lane.cursor < lane.last_seen_id:
                for row in await self._next_rows(lane):
                    await lane.unmarked.acquire()
                    lane.cursor = row.id
                    handled = partial(self._note_handled, lane, row.id)
                    # A row that a stopped group leaves keeps no other from being handed over; it
                    # stays unmarked and comes again after a restart.
                    await self._accept(row.message, handled, lane.unmarked.release)
            await lane.grew.wait()

    async def _next_rows(self, lane: _Lane) -> Sequence[outbox.OutboxRow]:
        last_seen_id = lane.last_seen_id

        def query(connection: sqlite3.Connection) -> Sequence[outbox.OutboxRow]:
            return outbox.unsent(connection, lane.topic, lane.cursor, SLICE_ROWS)

        rows = await self._until_it_works("read", partial(self._database.read, query))
        if not rows:
            lane.cursor = max(lane.cursor, last_seen_id)
        return rows

    def _note_handled(self, lane: _Lane, row_id: int) -> None:
        self._acknowledged.append((lane, row_id))
        self._any_acknowledged.set()

    async def _mark_acknowledged(self) -> None:
        while True:
            await self._any_acknowledged.wait()
            self._any_acknowledged = anyio.Event()
            count = len(self._acknowledged)
            await self._until_it_works("mark", partial(self._mark, count))

    async def _mark(self, count: int) -> None:
        marked = self._acknowledged[:count]
        if not marked:
            return
        mark = partial(
            outbox.mark_sent, ids=[row_id for _, row_id in marked], now=self._platform.clock.now()
        )
        await self._database.write(mark)
        del self._acknowledged[:count]
        RELAY_PUBLISHED.labels(self._module).inc(count)
        for lane, _ in marked:
            lane.unmarked.release()

    async def _measure(self) -> None:
        while True:
            rows = await self._until_it_works(
                "measure", partial(measure_outbox, self._database, self._platform.clock)
            )
            if rows:
                # A commit whose task was torn away told nobody: look now and then.
                self._committed.set()
            await self._platform.clock.sleep(GAUGE_SECONDS)

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
