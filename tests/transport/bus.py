"""A transport under test: how it is started, spoken to and watched, whichever it is."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.transport.protocol import Consumer, Subscription, Transport
from tests.support.consumers import PROCEED
from tests.support.eventually import eventually


class Bus(Protocol):
    """A deployment of one transport, to be started and stopped on the same stores at will."""

    platform: Platform

    async def store(self, name: str) -> Database:
        """Return a module's store: effects, outbox, and the transport's own progress."""
        ...

    def running(
        self, subscriptions: Sequence[Subscription], relays: Sequence[Database] = ()
    ) -> AbstractAsyncContextManager[Transport]:
        """Run the transport with these groups and outboxes for as long as the context lasts."""
        ...

    async def until_handled(self, sender: Database) -> None:
        """Return when every group that runs has handled all that this outbox held."""
        ...

    async def dead_letters(self) -> Sequence[Message]:
        """Return every dead letter that was kept, oldest first."""
        ...


def group(
    name: str,
    consumer: Consumer,
    topics: Sequence[str] = (PROCEED,),
    batch_max: int = 500,
    concurrency: int = 1,
) -> Subscription:
    return Subscription(name, topics, consumer, batch_max=batch_max, concurrency=concurrency)


def raw(key: str, number: int, topic: str = PROCEED) -> Message:
    """Return a message whose value need not be understood."""
    value = f"{key}-{number}"
    return Message(topic, key.encode(), value.encode(), {"event-id": f"{topic} {value}"})


async def say(database: Database, bus: Bus, messages: Sequence[Message]) -> None:
    """Put messages into an outbox."""
    now = bus.platform.clock.now()
    await database.write(lambda connection: outbox.add(connection, messages, now))


async def until(condition: Callable[[], bool]) -> None:
    async def probe() -> bool:
        return condition()

    await eventually(probe, bool)


async def until_sent(database: Database) -> None:
    """Wait until nothing is left in an outbox."""

    async def probe() -> int:
        count, _ = await database.read(outbox.backlog)
        return count

    await eventually(probe, lambda count: count == 0)
