"""What is read while other messages are written is theirs to wait for, and never counts twice."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import pytest

from huleedu.core.errors import PeerUnavailable
from huleedu.core.message import Message
from huleedu.store.database import Database
from huleedu.store.positions import advance
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.kafka.stored_group import StoredGroup
from huleedu.transport.protocol import Delivery
from tests.support.consumers import PROCEED, note_effects, proceed, read_effects
from tests.support.eventually import eventually
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.bus import group, until
from tests.transport.kafka.bus import KafkaBus
from tests.transport.kafka.members import GROUP, Member, publish

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path, partitions=1)
    await bus.open()
    yield bus
    await bus.close()


class Waiting(StoreConsumer):
    """Notes effects; before those of the first message it does what it is told to."""

    def __init__(
        self, bus: KafkaBus, store: Database, at_first: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(store, note_effects, bus.platform, "module")
        self.sizes: list[int] = []
        self._at_first = at_first

    async def handle(self, delivery: Delivery) -> None:
        self.sizes.append(len(delivery.messages))
        if delivery.messages[0].offset == 0:
            await self._at_first()
        await super().handle(delivery)


async def consume_with_some_ahead(
    bus: KafkaBus, at_first: Callable[[], Awaitable[None]]
) -> tuple[Sequence[Message], Sequence[tuple[str, str]], Waiting]:
    """Return what was said, its effects, and the consumer.

    The first message was in hand and the second read ahead when ``at_first`` went on.
    """
    store, go_on = await bus.store("module"), anyio.Event()

    async def first() -> None:
        await go_on.wait()
        await at_first()

    consumer = Waiting(bus, store, first)
    member = Member(bus, group(GROUP, consumer), store)
    reader = member.group
    assert isinstance(reader, StoredGroup)
    said = [proceed(bus.platform, f"b{n}") for n in range(3)]
    async with member.running():
        await publish(bus, said[:1])
        await until(member.membership.handling.locked)
        await publish(bus, said[1:2])
        await until(lambda: bool(reader._ahead))
        go_on.set()
        await publish(bus, said[2:])
        await eventually(
            lambda: store.read(read_effects), lambda seen: bool(seen) and seen[-1][0] == "b2"
        )
    return said, await store.read(read_effects), consumer


async def test_the_next_messages_are_read_while_others_are_written(bus: KafkaBus) -> None:
    """They follow at once, in order, each once."""

    async def nothing() -> None: ...

    said, effects, consumer = await consume_with_some_ahead(bus, nothing)

    assert [event_id for _, event_id in effects] == [message.event_id for message in said]
    assert consumer.sizes[:2] == [1, 1]


async def test_what_was_read_ahead_waits_for_what_failed(bus: KafkaBus) -> None:
    """It is not handled in its place: then the position would say that both were."""

    attempts = 0

    async def fail() -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 4:
            raise PeerUnavailable("for a second or two")

    said, effects, _ = await consume_with_some_ahead(bus, fail)

    assert [event_id for _, event_id in effects] == [message.event_id for message in said]


async def test_what_was_read_ahead_is_dropped_where_another_process_went_on(bus: KafkaBus) -> None:
    """The other one handled both: neither the message in hand nor the one ahead is done again."""

    def by_another(connection: sqlite3.Connection) -> None:
        advance(connection, GROUP, PROCEED, 0, seen=None, next_offset=2)

    async def supersede() -> None:
        store = await bus.store("module")
        await store.write(by_another)

    said, effects, _ = await consume_with_some_ahead(bus, supersede)

    assert effects == [("b2", said[2].event_id)]
