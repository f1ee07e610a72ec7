"""What was written in a transaction that is aborted was never said."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from huleedu.core.errors import Rejected
from huleedu.core.message import Message
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.dead_letter_box import Wanted
from huleedu.transport.failures import dead_letter, dead_letter_cause
from huleedu.transport.kafka.dead_letter_box import KafkaDeadLetterBox
from huleedu.transport.kafka.record import header_pairs
from tests.support.consumers import Recorder, note_effects, proceed, read_effects
from tests.support.eventually import eventually
from tests.support.kafka_fixtures import AnyBroker
from tests.transport.bus import group
from tests.transport.kafka.bus import TOPICS, KafkaBus

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


@pytest.fixture
async def bus(anyio_backend: str, broker: AnyBroker, tmp_path: Path) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path)
    await bus.open()
    yield bus
    await bus.close()


async def abort_then_commit(
    bus: KafkaBus, aborted: Sequence[Message], committed: Sequence[Message]
) -> None:
    """Have both on the first partition, one behind the other."""
    producer = AIOKafkaProducer(
        transactional_id=f"test-{uuid4()}", acks="all", **bus.connection.client_options()
    )
    await producer.start()
    try:
        for messages, end in (
            (aborted, producer.abort_transaction),
            (committed, producer.commit_transaction),
        ):
            await producer.begin_transaction()
            for one in messages:
                await producer.send_and_wait(
                    one.topic, one.value, one.key, partition=0, headers=header_pairs(one)
                )
            await end()
    finally:
        await producer.stop()


async def test_what_was_rolled_back_has_no_effect(bus: KafkaBus) -> None:
    """Neither in a group with a store nor in one without, though it lies in the log before what
    both of them handle."""
    rolled_back = [proceed(bus.platform, f"never-{number}") for number in range(3)]
    said = proceed(bus.platform, "said")
    await abort_then_commit(bus, rolled_back, [said])
    store, recorder = await bus.store("g"), Recorder()
    consumer = StoreConsumer(store, note_effects, bus.platform, "g")
    groups = [replace(group("g", consumer), store=store), group("stateless", recorder)]

    async def effects() -> list[str]:
        return [batch for batch, _ in await store.read(read_effects)]

    async with bus.running(groups, [store]):
        await eventually(effects, lambda found: "said" in found)
        await eventually(partial(_handled, recorder), lambda found: said.value in found)

    assert await effects() == ["said"]
    assert recorder.values() == [said.value]


async def _handled(recorder: Recorder) -> list[bytes]:
    return recorder.values()


async def test_a_dead_letter_that_was_rolled_back_is_none(bus: KafkaBus) -> None:
    """It is not listed, so that nobody replays what was never set aside."""
    fault, now = Rejected("against the rule"), bus.platform.clock.now()
    never, kept = (
        dead_letter(message, dead_letter_cause(fault, message, "g", 1, now))
        for message in (proceed(bus.platform, "never"), proceed(bus.platform, "kept"))
    )
    await abort_then_commit(bus, [never], [kept])
    async with (
        KafkaDeadLetterBox.opened(bus.connection, bus.platform, TOPICS) as box,
        aclosing(box.letters(Wanted())) as letters,
    ):
        found = [letter.batch_id async for letter in letters]

    assert found == ["kept"]
