"""Consumers of one topic in this process, many groups of them, with the real adapter around."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import anyio

from huleedu.core.message import Message
from huleedu.store.database import Database
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.kafka.consumer_times import DEFAULT_TIMES, ConsumerTimes
from huleedu.transport.kafka.group import Group
from huleedu.transport.kafka.membership import Membership
from huleedu.transport.kafka.producer import IdempotentPublisher
from huleedu.transport.kafka.stateless_group import StatelessGroup
from huleedu.transport.kafka.stored_group import StoredGroup
from huleedu.transport.protocol import Delivery
from tests.faults.ground import Ground
from tests.support.consumers import PROCEED, Recorder, note_effects, succeed
from tests.transport.bus import group
from tests.transport.kafka.bus import KafkaBus

Behave = Callable[[Delivery], Awaitable[None]]


@asynccontextmanager
async def bus_of(ground: Ground) -> AsyncIterator[KafkaBus]:
    """Topics made anew, and a folder for stores."""
    bus = KafkaBus(ground.broker.bootstrap_servers, ground.directory)
    await bus.open()
    try:
        yield bus
    finally:
        with anyio.CancelScope(shield=True):
            await bus.close()


class Member:
    """A member of a group that hears PROCEED, with its store or (None) without."""

    def __init__(
        self,
        bus: KafkaBus,
        name: str,
        store: Database | None,
        behave: Behave = succeed,
        *,
        watchdog_seconds: float = DEFAULT_TIMES.watchdog_seconds,
        max_poll_seconds: float = DEFAULT_TIMES.max_poll_seconds,
    ) -> None:
        self.recorder = Recorder(behave if store is None else with_effects(bus, store, behave))
        subscription = group(name, self.recorder)
        times = ConsumerTimes(max_poll_seconds=max_poll_seconds)
        self.membership = Membership(bus.connection, name, [PROCEED], None, times)
        also = (bus.platform, watchdog_seconds)
        self.group: Group = (
            StatelessGroup(self.membership, subscription, *also)
            if store is None
            else StoredGroup(self.membership, subscription, store, *also)
        )

    def freeze(self) -> None:
        """Let the library stop fetching for good, without an error, as it sometimes does."""
        fetcher = self.membership.client._fetcher
        for task in (fetcher._fetch_task, *fetcher._pending_tasks):
            task.cancel()


def with_effects(bus: KafkaBus, store: Database, behave: Behave) -> Behave:
    """Return what behaves so and then has its effects, as every module with a store."""
    inner = StoreConsumer(store, note_effects, bus.platform, "module")

    async def both(delivery: Delivery) -> None:
        await behave(delivery)
        await inner.handle(delivery)

    return both


async def store_for(bus: KafkaBus, name: str, number: int) -> Database | None:
    """Return a store for every second group."""
    return await bus.store(name) if number % 2 else None


@asynccontextmanager
async def running(members: Sequence[Member]) -> AsyncIterator[None]:
    """Have them consume meanwhile."""
    async with anyio.create_task_group() as tasks:
        for member in members:
            tasks.start_soon(member.group.run)
        yield
        tasks.cancel_scope.cancel()


async def publish(bus: KafkaBus, messages: Sequence[Message]) -> None:
    """Return once the broker has the messages."""
    publisher = IdempotentPublisher(bus.connection, bus.platform)
    try:
        await publisher.publish(messages)
    finally:
        await publisher.close()
