"""Retention that deletes what was not read: the partition stops, and somebody is told."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import anyio
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete

from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.kafka import lag
from huleedu.transport.kafka.administration import administration
from huleedu.transport.protocol import Delivery
from tests.support.consumers import PROCEED, Recorder, note_effects, proceed, read_effects
from tests.support.eventually import eventually
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.bus import group, raw, until
from tests.transport.kafka.bus import KafkaBus
from tests.transport.kafka.members import GROUP, Member, publish

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]
PARTITION = TopicPartition(PROCEED, 0)


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path, partitions=1)
    await bus.open()
    yield bus
    await bus.close()


async def delete_before(bus: KafkaBus, offset: int) -> None:
    """What retention does, now."""
    async with administration(bus.connection) as admin:
        await admin.delete_records({PARTITION: RecordsToDelete(before_offset=offset)})


def stopped(first: int, kept: int) -> Sequence[str]:
    return [
        f"{GROUP} stopped in {PROCEED}[0]: retention deleted offsets {first} to {kept}, "
        f"which were not read; stop the processes of {GROUP} and say where to go on: "
        f"huleedu topics resume {GROUP} {PROCEED} --partition 0 --from start"
    ]


async def test_messages_deleted_before_they_are_read_stop_the_partition(bus: KafkaBus) -> None:
    """The consumer is slow, and what waits behind it is deleted: it finishes what it has, reads
    nothing of what follows the gap, and says which offsets are missing; so after a restart."""
    store, go_on = await bus.store("module"), anyio.Event()
    module = StoreConsumer(store, note_effects, bus.platform, "module")

    class Slow(StoreConsumer):
        async def handle(self, delivery: Delivery) -> None:
            await go_on.wait()
            await module.handle(delivery)

    slow = Slow(store, note_effects, bus.platform, "module")
    said = [proceed(bus.platform, f"b{n}") for n in range(6)]
    member = Member(bus, group(GROUP, slow), store)
    async with member.running():
        await publish(bus, said[:1])
        await until(member.membership.handling.locked)
        await publish(bus, said[1:2])
        await publish(bus, said[2:])
        await delete_before(bus, 5)
        go_on.set()
        await until(lambda: bool(member.group.troubles()))

        # How many the library had fetched before they were deleted is its own affair.
        handled = [batch for batch, _ in await store.read(read_effects)]
        assert handled == ["b0", "b1", "b2", "b3", "b4"][: len(handled)]
        assert member.group.troubles() == stopped(len(handled), 5)
        await publish(bus, [proceed(bus.platform, "later")])
    restarted = Member(bus, group(GROUP, slow), store)
    async with restarted.running():
        await until(lambda: restarted.group.troubles() == stopped(len(handled), 5))

    assert len(await store.read(read_effects)) == len(handled)


async def test_so_without_a_store(bus: KafkaBus) -> None:
    """A consumer that keeps its offset on the broker stops there all the same."""
    go_on = anyio.Event()

    async def slow(_: object) -> None:
        await go_on.wait()

    recorder = Recorder(slow)
    member = Member(bus, group(GROUP, recorder), None)
    async with member.running():
        await publish(bus, [raw("a", 0)])
        await until(lambda: bool(recorder.deliveries))
        await publish(bus, [raw("a", 1)])
        await publish(bus, [raw("a", n) for n in range(2, 6)])
        await delete_before(bus, 5)
        go_on.set()
        await until(lambda: bool(member.group.troubles()))

        assert member.group.troubles() == stopped(len(recorder.handled), 5)

    assert recorder.values() == [f"a-{n}".encode() for n in range(len(recorder.handled))]


async def test_so_where_nothing_was_read_yet(bus: KafkaBus) -> None:
    """The first messages of a topic are deleted before the group, waiting for them, saw one."""
    recorder, store = Recorder(), await bus.store("module")
    member = Member(bus, group(GROUP, recorder), store)
    async with member.running():
        await until(lambda: member.group._placed == member.membership.assigned)
        member.membership.pause(PARTITION)
        # A fetch that is under way would still bring the first of them.
        await until(lambda: not member.membership.client._fetcher._in_flight)
        await publish(bus, [raw("a", n) for n in range(3)])
        await delete_before(bus, 2)
        member.membership.resume(PARTITION)
        await until(lambda: bool(member.group.troubles()))

        assert member.group.troubles() == stopped(0, 2)

    assert recorder.deliveries == []


@pytest.mark.parametrize("has_store", [True, False])
async def test_so_where_the_group_was_away_before_anything_was_said(
    bus: KafkaBus, has_store: bool
) -> None:
    """A group joins while a topic is empty, and is away while messages come and the first of them
    are deleted: it stops, and does not take what is left for all there was."""
    recorder, store = Recorder(), await bus.store("module") if has_store else None
    first, again = (Member(bus, group(GROUP, recorder), store) for _ in range(2))
    async with first.running():
        await until(lambda: first.group._placed == first.membership.assigned)
    await publish(bus, [raw("a", n) for n in range(3)])
    await delete_before(bus, 2)
    async with again.running():
        await until(lambda: bool(again.group.troubles()))

        assert again.group.troubles() == stopped(0, 2)

    assert recorder.deliveries == []


async def test_its_neighbours_go_on(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> None:
    """One partition waits for a decision; the others of the consumer are read."""
    bus = KafkaBus(broker.bootstrap_servers, tmp_path, partitions=2)
    await bus.open()
    first, second = Recorder(), Recorder()
    async with Member(bus, group(GROUP, first), None).running():
        await put(bus, 0, [b"1"])
        await eventually(partial(behind, bus), lambda lag: lag == 0)
    await put(bus, 0, [b"2", b"3", b"4"])
    await delete_before(bus, 3)
    member = Member(bus, group(GROUP, second), None)
    async with member.running():
        await until(lambda: bool(member.group.troubles()))
        for number in range(5):
            await put(bus, 1, [b"%d" % number])
            await until(lambda: len(second.handled) > number)  # noqa: B023 - awaited here

        assert member.group.troubles() == stopped(1, 3)
    await bus.close()

    assert first.values() == [b"1"]
    assert second.values() == [b"0", b"1", b"2", b"3", b"4"]


async def put(bus: KafkaBus, partition: int, values: Sequence[bytes]) -> None:
    producer = AIOKafkaProducer(acks="all", **bus.connection.client_options())
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(PROCEED, value, b"k", partition=partition)
    finally:
        await producer.stop()


async def behind(bus: KafkaBus) -> int | None:
    (state,) = await lag.list_topics(bus.connection, [GROUP], bus.platform.clock, [PROCEED])
    return state.lag.get(GROUP)
