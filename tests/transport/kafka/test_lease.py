"""One relay an outbox: who may publish, and when the next one may."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from huleedu.core.hops import ThreadHops
from huleedu.core.platform import Platform
from huleedu.store.database import Database
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import outbox_identity_migrations
from huleedu.transport.kafka.lease import LAPSE_SECONDS, LOCK_SUFFIX, Lease
from tests.support.simulated import FakeClock

pytestmark = pytest.mark.anyio

T = TypeVar("T")
MIGRATIONS = (outbox_migrations, outbox_identity_migrations)

_HOLDER = """
import sys, anyio
from pathlib import Path
from huleedu.core.platform import Platform
from huleedu.store.database import Database
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import outbox_identity_migrations
from huleedu.transport.kafka.lease import Lease

MIGRATIONS = (outbox_migrations, outbox_identity_migrations)

async def main():
    database = Database(Path(sys.argv[1]), MIGRATIONS, Platform().hops)
    await database.open()
    await Lease(database, Platform(), "other process").acquire()
    print("held", flush=True)
    await anyio.sleep(60)

anyio.run(main)
"""


class WaitingClock(FakeClock):
    """Lets something happen in each sleep, and stops who sleeps too long."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        super().__init__()
        self.slept = 0.0
        self._meanwhile = meanwhile

    async def sleep(self, seconds: float) -> None:
        if self._meanwhile is not None:
            await self._meanwhile()
        self.slept += seconds
        await super().sleep(seconds)


@asynccontextmanager
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "s.db", MIGRATIONS, ThreadHops())
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def lease(database: Database, holder: str, clock: FakeClock) -> Lease:
    platform = Platform(clock=clock, random=random.Random(1), hops=ThreadHops())
    return Lease(database, platform, holder)


def hold_and_die(path: Path) -> None:
    """Have another process take the lease, and kill it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert "held\n" in holder.stdout
    finally:
        holder.kill()
        holder.communicate()


async def test_a_free_lease_is_taken_at_once(tmp_path: Path) -> None:
    """Nobody waits for a lease that nobody holds, or that was given back."""
    clock = WaitingClock()
    async with store(tmp_path) as database:
        first, second = lease(database, "a", clock), lease(database, "b", clock)
        await first.acquire()
        await first.release()
        await second.acquire()

        assert clock.slept == 0
        assert await second.beat()
        assert not await first.beat()
        await second.release()


async def test_the_lease_of_one_who_lives_is_not_taken(tmp_path: Path) -> None:
    """As long as the holder counts up, however long, another waits."""
    async with store(tmp_path) as database:
        first = lease(database, "a", FakeClock())
        await first.acquire()
        beats = 0

        async def beat_on() -> None:
            nonlocal beats
            assert await first.beat()
            beats += 1
            if beats > 10 * LAPSE_SECONDS:
                waiting.cancel()

        second = lease(database, "b", WaitingClock(beat_on))
        with anyio.CancelScope() as waiting:
            await second.acquire()

        assert waiting.cancelled_caught
        assert await first.beat()
        await first.release()


async def test_one_who_sleeps_too_long_has_lapsed(tmp_path: Path) -> None:
    """Five seconds without a beat, and another leads; the sleeper learns it when it wakes up."""
    async with store(tmp_path) as database:
        sleeper, clock = lease(database, "a", FakeClock()), WaitingClock()
        await sleeper.acquire()
        second = lease(database, "b", clock)
        await second.acquire()

        assert LAPSE_SECONDS <= clock.slept <= LAPSE_SECONDS + 1
        assert not await sleeper.beat()
        assert await second.beat()
        await second.release()


class Overtaken(Database):
    """A store in which something happens just before a write, once."""

    def __init__(self, path: Path, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(path, MIGRATIONS, ThreadHops())
        self._meanwhile: Callable[[], Awaitable[object]] | None = meanwhile

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            await meanwhile()
        return await super().write(work)


async def test_one_who_wakes_up_at_the_last_moment_has_not_lapsed(tmp_path: Path) -> None:
    """A beat between the look at a lapsed lease and its taking keeps it for another 5 s."""
    async with store(tmp_path) as database:
        sleeper, clock = lease(database, "a", FakeClock()), WaitingClock()
        await sleeper.acquire()
        overtaken = Overtaken(database.path, sleeper.beat)
        try:
            second = lease(overtaken, "b", clock)
            await second.acquire()

            assert clock.slept >= 2 * LAPSE_SECONDS
            assert not await sleeper.beat()
            await second.release()
        finally:
            await overtaken.close()


async def test_of_two_who_find_a_lapsed_lease_one_takes_it(tmp_path: Path) -> None:
    """Whoever is the second to take it has to wait until the first one has lapsed."""
    async with store(tmp_path) as database:
        sleeper, clock = lease(database, "a", FakeClock()), WaitingClock()
        await sleeper.acquire()
        first = lease(database, "b", WaitingClock())
        overtaken = Overtaken(database.path, first.acquire)
        try:
            second = lease(overtaken, "c", clock)
            await second.acquire()

            assert clock.slept >= 2 * LAPSE_SECONDS
            assert not await first.beat()
            await second.release()
        finally:
            await overtaken.close()


async def test_a_lock_left_by_a_sleeper_does_not_unseat_the_next(tmp_path: Path) -> None:
    """Who took over from a sleeper never had its lock; that this lock is gone means nothing."""
    async with store(tmp_path) as database:
        sleeper, second = (lease(database, name, WaitingClock()) for name in "ab")
        await sleeper.acquire()
        await second.acquire()  # the sleeper still has the lock
        await sleeper.beat()  # ... and lets go of it
        looked = 0

        async def look() -> None:
            nonlocal looked
            looked += 1
            if looked > 3:
                waiting.cancel()

        third = lease(database, "c", WaitingClock(look))
        with anyio.CancelScope() as waiting:
            await third.acquire()

        assert waiting.cancelled_caught
        assert await second.beat()
        await second.release()


async def test_one_who_waits_leaves_the_lock_to_the_holder(tmp_path: Path) -> None:
    """A holder that took over without the lock gets it as soon as it is free, or nobody would
    learn at once that this holder died."""
    async with store(tmp_path) as database:
        sleeper, second = (lease(database, name, WaitingClock()) for name in "ab")
        await sleeper.acquire()
        await second.acquire()
        await sleeper.beat()  # ... and lets go of the lock
        beats: list[bool] = []

        async def beat() -> None:
            beats.append(await second.beat())
            if len(beats) > 1:
                waiting.cancel()

        third = lease(database, "c", WaitingClock(beat))
        with anyio.CancelScope() as waiting:
            await third.acquire()
        (holds_lock,) = await database.read(
            lambda db: db.execute("SELECT holds_lock FROM outbox_lease").fetchone()
        )

        assert beats == [True, True]
        assert holds_lock == 1
        await second.release()


async def test_the_lease_of_the_dead_is_free_at_once(tmp_path: Path) -> None:
    """A holder that is killed leaves its lock, and nobody waits for five seconds."""
    async with store(tmp_path) as database:
        await anyio.to_thread.run_sync(hold_and_die, database.path)
        clock = WaitingClock()
        mine = lease(database, "mine", clock)
        await mine.acquire()

        assert clock.slept == 0
        await mine.release()


async def test_a_lost_lease_cannot_be_given_away(tmp_path: Path) -> None:
    """Releasing what is another's changes nothing."""
    async with store(tmp_path) as database:
        first, second = (lease(database, name, WaitingClock()) for name in "ab")
        await first.acquire()
        await second.acquire()
        await first.release()

        assert await second.beat()
        await second.release()
        assert (tmp_path / f"s.db{LOCK_SUFFIX}").exists()
