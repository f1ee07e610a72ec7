"""Forgetting a million old rows beside live work: in small slices, and nobody waits for it."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
from prometheus_client import REGISTRY

from huleedu.app.modules import MODULES
from huleedu.core.clock import to_text
from huleedu.core.platform import Platform
from huleedu.results import purge_progress
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.housekeeping import Chore, chores_of, keep_house
from huleedu.store.purging import Purge
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS
from huleedu.transport.memory import MemoryTransport
from huleedu.transport.protocol import Delivery
from tests.endurance.report import Finding
from tests.support.consumers import Recorder
from tests.transport.bus import group, raw, until

SLICE_ROWS_MAX = 1_000
OLD = timedelta(days=400)
KEEP = timedelta(days=365)
ROWS_AT_ONCE = 20_000
LIVE_PAUSE_SECONDS = 0.005
WAIT_SECONDS_MAX = 5.0  # of a live message, on a machine that has other work

_SERIES = (
    "(WITH RECURSIVE n(value) AS (SELECT :first UNION ALL SELECT value + 1 FROM n"
    " WHERE value < :last) SELECT value FROM n)"
)
_ROWS = {
    "outbox": "INSERT INTO outbox (topic, key, value, headers, event_id, created_at, sent_at)"
    f" SELECT 'old', x'31', zeroblob(400), x'7b7d', value, :at, :at FROM {_SERIES}",
    "handled": f"INSERT INTO handled SELECT 'group', printf('%08d', value), :at FROM {_SERIES}",
    "progress_event": "INSERT INTO progress_event (batch_id, event_type, attempt, essay_id,"
    " discriminator, event_id, heard_at, data) SELECT value / 100, 'old', 0, value, '', value, :at,"
    f" '{{}}' FROM {_SERIES}",
}
"""Table → what puts rows of an age into it."""


@dataclass(frozen=True)
class _CountedPurge(Purge):
    """A purge that notes how many rows each slice had."""

    slices: list[int]

    def __call__(
        self,
        connection: sqlite3.Connection,
        now: datetime,
        keep: timedelta,
        needed_since: datetime | None = None,
    ) -> int:
        deleted = super().__call__(connection, now, keep, needed_since)
        if deleted:
            self.slices.append(deleted)
        return deleted


@dataclass
class Waiting:
    """How long live messages took from the commit that said them to their handler."""

    said: dict[str, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    async def heard(self, delivery: Delivery) -> None:
        now = time.monotonic()
        self.seconds += [now - self.said.pop(message.event_id) for message in delivery.messages]

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[len(self.seconds) * 99 // 100]


async def purge_beside_work(directory: Path, rows: int, messages: int) -> Finding:
    """Send live messages, then as many while so many old rows of each kind are forgotten."""
    platform = Platform()
    store = Database(directory / "results.db", MODULES["results"].migrations, platform.hops)
    dead_letters = Database(directory / "dead.db", DEAD_LETTER_MIGRATIONS, platform.hops)
    await store.open()
    await dead_letters.open()
    await _fill(store, platform.clock.now() - OLD, 0, rows)
    await _fill(store, platform.clock.now(), rows, rows + 1)  # the age counts from the newest
    slices: list[int] = []
    chores = [_counted(chore, slices) for chore in chores_of([store])]
    chores.append(_counted(Chore(store, purge_progress, KEEP), slices))
    transport = MemoryTransport(platform, dead_letters)
    alone, beside = Waiting(), Waiting()
    current = [alone]

    async def hear(delivery: Delivery) -> None:
        await current[0].heard(delivery)

    transport.subscribe(group("g", Recorder(hear)))
    transport.relay(store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(transport.run)
        await _work(store, platform, alone, messages, 0)
        current[0] = beside
        tasks.start_soon(keep_house, chores, platform)
        await _work(store, platform, beside, messages, messages)
        while sum(slices) < 3 * rows:
            await _work(store, platform, beside, 100, messages + len(beside.seconds))
        tasks.cancel_scope.cancel()
    left = await store.read(lambda db: _old(db, to_text(platform.clock.now() - KEEP)))
    await dead_letters.close()
    await store.close()
    return _judged(rows, slices, left, alone, beside)


def _judged(
    rows: int, slices: Sequence[int], left: int, alone: Waiting, beside: Waiting
) -> Finding:
    faults = [f"a slice of {n} rows" for n in slices if n > SLICE_ROWS_MAX]
    if left:
        faults.append(f"{left} old rows are left")
    if alone.said or beside.said:
        faults.append(f"{len(alone.said) + len(beside.said)} messages were not handled")
    if max(beside.seconds) > WAIT_SECONDS_MAX:
        faults.append(f"a message waited for {max(beside.seconds):.1f} s")
    if REGISTRY.get_sample_value("huleedu_outbox_oldest_seconds", {"module": "results"}) is None:
        faults.append("no gauge tells the age of the oldest row that waits")
    seen = (
        f"3 x {rows} rows in slices of <= {max(slices)}; message to handler p99 "
        f"{alone.p99 * 1e3:.0f} ms alone, {beside.p99 * 1e3:.0f} ms beside it "
        f"({len(beside.seconds)} messages)"
    )
    return Finding("forgetting beside work", seen, faults)


async def _fill(store: Database, at: datetime, begin: int, end: int) -> None:
    for first in range(begin, end, ROWS_AT_ONCE):
        values = {"at": to_text(at), "first": first, "last": min(first + ROWS_AT_ONCE, end) - 1}

        await store.write(partial(_put, values=values))


def _put(connection: sqlite3.Connection, values: Mapping[str, object]) -> None:
    for sql in _ROWS.values():
        connection.execute(sql, values)


def _old(connection: sqlite3.Connection, before: str) -> int:
    columns = {"outbox": "sent_at", "handled": "handled_at", "progress_event": "heard_at"}
    return sum(
        connection.execute(f"SELECT count(*) FROM {t} WHERE {c} < ?", (before,)).fetchone()[0]
        for t, c in columns.items()
    )


def _counted(chore: Chore, slices: list[int]) -> Chore:
    own = chore.purge
    return replace(chore, purge=_CountedPurge(own.table, own.key, own.moment, slices))


async def _work(
    store: Database, platform: Platform, waiting: Waiting, messages: int, first: int
) -> None:
    for number in range(first, first + messages):
        message = raw(f"key-{number % 7}", number)
        waiting.said[message.event_id] = time.monotonic()
        await store.write(partial(outbox.add, messages=[message], now=platform.clock.now()))
        await anyio.sleep(LIVE_PAUSE_SECONDS)
    await until(lambda: not waiting.said)


def check_purge(directory: Path, rows: int = 1_000_000, messages: int = 2_000) -> Finding:
    """Forget so many old rows of each kind beside live work."""
    return anyio.run(purge_beside_work, directory, rows, messages)
