"""A process with an outbox and its relay, over a broker within the test's own process.

It publishes when it is told to, and dies at a chosen step; the broker is the simulation's.
"""

import asyncio
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import anyio
from aiokafka import TopicPartition

from huleedu.core.clock import SystemClock
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import outbox_identity_migrations
from huleedu.transport.kafka.position import transactional_id
from huleedu.transport.kafka.relay import KafkaRelay
from huleedu.transport.kafka.steps import Step
from tests.simulation.broker import Broker, Fate, Record
from tests.simulation.connection import Endpoint, SimulatedConnection
from tests.simulation.faults import Fault
from tests.support.simulated import InlineHops

T = TypeVar("T")

MIGRATIONS = (outbox_migrations, outbox_identity_migrations)
PUBLISH_SECONDS_MAX = 20.0
_STANDS = (Step.LEASE_TAKEN, Step.SLICE_READ)
"""Where a relay waits until it is told to publish."""
_IDLE = (Step.CAUGHT_UP, Step.MARKED)


class Died(Exception):
    """The process is gone, as planned."""


class HastyClock(SystemClock):
    """Sleeps are short."""

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(min(seconds, 0.003))


class StillBroker(Broker):
    """A broker on which nothing happens by itself: no transaction comes to the end of its time."""

    def __init__(self) -> None:  # it needs no loop
        super().__init__(loop=None)  # type: ignore[arg-type]

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do it never."""

    def give_up(self, all_but: str) -> None:
        """End the transactions that were left open, but for those of one outbox, by its id."""
        for name, transaction in list(self.open.items()):
            if name != transactional_id(all_but):
                self.end(name, transaction, Fate.ABORTED, lambda: True)
                del self.open[name]

    def read(self) -> Sequence[tuple[TopicPartition, Record]]:
        """Return everything that a read_committed reader sees."""
        return [(tp, one) for tp, records in self.all_visible().items() for one in records]


class _Faultless:
    def strikes(self, _fault: Fault) -> bool:
        return False


class _Nearby(Endpoint):
    """A way to the broker on which nothing goes wrong."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.random = random.Random(1)
        self.consumers = []

    @property
    def faults(self) -> _Faultless:  # type: ignore[override]
        return _Faultless()

    def tell(self, what: str) -> None:
        """Note nothing."""

    async def round_trip(self) -> None:
        await anyio.lowlevel.checkpoint()


class OutboxProcess:
    """One life of a process on the file at ``path``."""

    def __init__(self, path: Path, broker: Broker, holder: str) -> None:
        platform = Platform(clock=HastyClock(), random=random.Random(1), hops=InlineHops())
        self._broker = broker
        self.database = Database(path, MIGRATIONS, platform.hops)
        self._relay = KafkaRelay(
            self.database, SimulatedConnection(_Nearby(broker)), platform, holder, at=self._pass
        )
        self._may_publish = asyncio.Event()
        self._leads = asyncio.Event()
        self._dies_at: Step | None = None
        self._last_step: Step | None = None
        self._life: anyio.CancelScope | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the file; the relay waits for :meth:`publish`."""
        await self.database.open()
        self._running = asyncio.create_task(self._live())

    async def _live(self) -> None:
        with anyio.CancelScope() as self._life:
            await self._relay.run()

    async def say(self, messages: Sequence[Message]) -> None:
        now = SystemClock().now()
        await self.database.write(lambda db: outbox.add(db, messages, now))

    async def until_it_leads(self) -> None:
        """Return once the relay has its lease; it waits there for :meth:`publish`."""
        await self._leads.wait()

    async def publish(self, dies_at: Step | None = None) -> bool:
        """Return once nothing is left to publish, or, with False, once it died on the way."""
        assert self._running is not None
        self._dies_at = dies_at
        self._may_publish.set()
        try:
            with anyio.fail_after(PUBLISH_SECONDS_MAX):
                while not self._running.done():
                    left, _ = await self.database.read(outbox.backlog)
                    if left == 0 and self._last_step in _IDLE:
                        break
                    await anyio.sleep(0.001)
        finally:
            self._may_publish.clear()
            self._dies_at = None
        if not self._running.done():
            return True
        await self.end()
        return False

    async def end(self) -> None:
        """Be gone; what was not committed is undone."""
        if self._running is not None:
            if self._life is None:  # it has not run yet
                self._running.cancel()
            else:
                self._life.cancel()
            (fault,) = await asyncio.gather(self._running, return_exceptions=True)
            if isinstance(fault, Exception) and not _is_death(fault):
                raise fault
        await self.database.close()

    async def _pass(self, step: Step) -> None:
        if step in (Step.BEAT_DUE, Step.BEATEN):
            return
        if step is Step.LEASE_TAKEN:
            self._leads.set()
        if step in _STANDS:
            await self._may_publish.wait()
        self._last_step = step
        if step is self._dies_at:
            raise Died


def _is_death(fault: Exception) -> bool:
    if isinstance(fault, ExceptionGroup):
        return all(_is_death(one) for one in fault.exceptions)
    return isinstance(fault, Died)


def copied(source: Path, target: Path) -> None:
    """Copy a store, which may be in use, as a backup does."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Look into a store."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        yield connection
