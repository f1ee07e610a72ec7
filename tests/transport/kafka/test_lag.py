"""What the broker is told of how far a group has come: nothing waits, nothing is behind."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from aiokafka import AIOKafkaProducer

from huleedu.core.metrics import TRANSPORT_LAG
from huleedu.store.positions import read
from huleedu.transport.kafka import lag, lag_gauge
from tests.support.consumers import PROCEED, Recorder, proceed
from tests.support.eventually import eventually
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.bus import group, until
from tests.transport.kafka.bus import KafkaBus
from tests.transport.kafka.members import GROUP, Member, with_effects

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path)
    await bus.open()
    yield bus
    await bus.close()


async def behind(bus: KafkaBus) -> int | None:
    (state,) = await lag.list_topics(bus.connection, [GROUP], bus.platform.clock, [PROCEED])
    return state.lag.get(GROUP)


def gauge() -> float:
    value: float = TRANSPORT_LAG.labels(PROCEED, GROUP)._value.get()
    return value


async def say_in_transactions(bus: KafkaBus, texts: list[bytes], *, aborted: bool = False) -> None:
    """Publish to every partition; with ``aborted`` also what is taken back again."""
    producer = AIOKafkaProducer(transactional_id="said", **bus.connection.client_options())
    await producer.start()
    try:
        for text in texts:
            async with producer.transaction():
                for number in range(3):
                    await producer.send_and_wait(PROCEED, text, b"k", partition=number)
        if aborted:
            await producer.begin_transaction()
            await producer.send_and_wait(PROCEED, b"no", b"k", partition=0)
            await producer.abort_transaction()
    finally:
        await producer.stop()


@pytest.mark.parametrize("has_store", [True, False])
async def test_a_group_that_has_handled_all_is_behind_by_nothing(
    bus: KafkaBus, has_store: bool
) -> None:
    """The marks of ended transactions and what was taken back are no messages that wait."""
    recorder = Recorder()
    store = await bus.store("module") if has_store else None
    member = Member(bus, group(GROUP, recorder, concurrency=4), store)
    async with member.running():
        await say_in_transactions(bus, [b"1", b"2"], aborted=True)
        await until(lambda: len(recorder.handled) == 6)
        await eventually(partial(behind, bus), lambda lag: lag == 0)
        await say_in_transactions(bus, [b"3"])
        await until(lambda: len(recorder.handled) == 9)
        await eventually(partial(behind, bus), lambda lag: lag == 0)


async def test_without_a_store_the_next_one_goes_on_behind_the_marks(bus: KafkaBus) -> None:
    """What was told of the reading loses nothing and brings nothing twice."""
    for texts in ([b"1", b"2"], [b"3"]):
        recorder = Recorder()
        member = Member(bus, group(GROUP, recorder, concurrency=4), None)
        async with member.running():
            await say_in_transactions(bus, texts, aborted=True)
            await eventually(partial(behind, bus), lambda lag: lag == 0)

        assert sorted(recorder.values()) == sorted(texts * 3)


@pytest.mark.parametrize("has_store", [True, False])
async def test_what_is_being_handled_counts_as_waiting(
    bus: KafkaBus, has_store: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read and not yet handled is behind, however long it takes; so says the metric."""
    monkeypatch.setattr(lag_gauge, "LAG_SECONDS", 0.1)
    ended = anyio.Event()

    async def slow(_: object) -> None:
        await ended.wait()

    recorder = Recorder(slow)
    store = await bus.store("module") if has_store else None
    member = Member(bus, group(GROUP, recorder, concurrency=4), store)
    async with member.running():
        await say_in_transactions(bus, [b"1"])
        await until(lambda: bool(recorder.deliveries))
        await anyio.sleep(1.5)  # longer than between two commits

        assert await behind(bus) in (None, 6)
        await until(lambda: gauge() == 6)
        ended.set()
        await eventually(partial(behind, bus), lambda lag: lag == 0)
        await until(lambda: gauge() == 0)


async def test_the_stored_position_is_that_of_messages(bus: KafkaBus) -> None:
    """Beside the effects stands the offset behind the last message, marks or not."""
    store = await bus.store("module")
    member = Member(bus, with_effects(bus, store), store)
    producer = AIOKafkaProducer(transactional_id="said", **bus.connection.client_options())
    await producer.start()
    try:
        async with producer.transaction():
            message = proceed(bus.platform, "b1")
            await producer.send_and_wait(PROCEED, message.value, message.key, partition=1)
    finally:
        await producer.stop()
    async with member.running():
        await eventually(partial(behind, bus), lambda lag: lag == 0)

    noted = await store.read(lambda db: read(db, GROUP, PROCEED, 1))
    assert noted is not None
    assert noted.next_offset == 1
