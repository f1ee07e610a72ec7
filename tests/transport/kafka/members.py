"""Members of a group under test: one consumer each, without a transport around them."""

from collections.abc import AsyncIterator, Sequence
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
from huleedu.transport.protocol import Subscription
from tests.support.consumers import PROCEED, note_effects
from tests.transport.bus import group, until
from tests.transport.kafka.bus import KafkaBus

GROUP = "watched"


class Member:
    """A consumer of PROCEED, with its store or (None) without."""

    def __init__(
        self,
        bus: KafkaBus,
        subscription: Subscription,
        store: Database | None,
        watchdog_seconds: float = DEFAULT_TIMES.watchdog_seconds,
        max_poll_seconds: float = DEFAULT_TIMES.max_poll_seconds,
        membership: type[Membership] = Membership,
    ) -> None:
        times = ConsumerTimes(max_poll_seconds=max_poll_seconds)
        self.membership = membership(bus.connection, subscription.group, [PROCEED], None, times)
        also = (bus.platform, watchdog_seconds)
        self.group: Group = (
            StatelessGroup(self.membership, subscription, *also)
            if store is None
            else StoredGroup(self.membership, subscription, store, *also)
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consume meanwhile, from when the first partitions are assigned."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.group.run)
            await until(lambda: bool(self.membership.assigned))
            yield
            tasks.cancel_scope.cancel()

    def freeze(self) -> None:
        """Let the library stop fetching for good, without an error, as it sometimes does."""
        freeze(self.membership)


class SilentAtFirst(Membership):
    """Joins, and its first client then never returns from asking for messages."""

    joined = 0

    async def join(self) -> None:
        await super().join()
        self.joined += 1
        if self.joined == 1:
            self.client.getmany = _never


async def _never(*_: object, **__: object) -> None:
    await anyio.sleep_forever()


class FrozenFromTheStart(Membership):
    """Never fetches anything, however often it joins."""

    async def join(self) -> None:
        await super().join()
        freeze(self)


def freeze(membership: Membership) -> None:
    fetcher = membership.client._fetcher
    for task in (fetcher._fetch_task, *fetcher._pending_tasks):
        task.cancel()


def with_effects(bus: KafkaBus, store: Database) -> Subscription:
    """Return a subscription of a module that notes what it heard."""
    return group(GROUP, StoreConsumer(store, note_effects, bus.platform, "module"))


async def publish(bus: KafkaBus, messages: Sequence[Message]) -> None:
    """Return once the broker has the messages."""
    publisher = IdempotentPublisher(bus.connection, bus.platform)
    try:
        await publisher.publish(messages)
    finally:
        await publisher.close()
