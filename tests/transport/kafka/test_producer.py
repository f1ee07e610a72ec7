"""Publishing without a store: acknowledged, or known to be unknown."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from huleedu.core.errors import BrokerUnavailable, TooLarge
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.producer import IdempotentPublisher
from tests.support.eventually import eventually
from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_fixtures import AnyBroker, NewTopic
from tests.transport.kafka.relay_support import read

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


@asynccontextmanager
async def publishing(
    bootstrap_servers: str, publish_seconds: float = 10.0
) -> AsyncIterator[IdempotentPublisher]:
    publisher = IdempotentPublisher(KafkaConnection(bootstrap_servers), Platform(), publish_seconds)
    try:
        yield publisher
    finally:
        await publisher.close()


def message(topic: str, text: str, size: int = 0) -> Message:
    return Message(topic, b"k", text.encode() + b"x" * size, {"event-id": text})


async def test_what_is_acknowledged_can_be_read(broker: AnyBroker, new_topic: NewTopic) -> None:
    """When ``publish`` returns, the messages are there, whole and in order."""
    topic = await new_topic("said", partitions=1)
    said = [message(topic, str(number)) for number in range(100)]
    async with publishing(broker.bootstrap_servers) as publisher:
        await publisher.publish(said[:60])
        await publisher.publish(said[60:])
        await publisher.publish([])

    assert list(await read(broker.bootstrap_servers, topic)) == said


async def test_a_message_too_large_is_refused_before_anything_is_sent(
    broker: AnyBroker, new_topic: NewTopic
) -> None:
    """It is told at once, nothing of the call is sent, and the next call is none the worse."""
    topic = await new_topic("said", partitions=1)
    async with publishing(broker.bootstrap_servers) as publisher:
        with pytest.raises(TooLarge):
            await publisher.publish([message(topic, "a"), message(topic, "b", 1_100_000)])
        await publisher.publish([message(topic, "c")])

    assert list(await read(broker.bootstrap_servers, topic)) == [message(topic, "c")]


async def test_a_dead_letter_is_cut_to_size(broker: AnyBroker, new_topic: NewTopic) -> None:
    """What cannot be handled can always be put aside, however large it is."""
    topic = await new_topic("said.dlq", partitions=1)
    async with publishing(broker.bootstrap_servers) as publisher:
        await publisher.publish([message(topic, "a", 1_040_000)])
    (dead,) = await read(broker.bootstrap_servers, topic)

    assert dead.headers["dead-letter-cut-from-bytes"] == "1040001"


async def test_a_batch_that_the_broker_refuses_spoils_nothing_that_follows(
    broker: AnyBroker, new_topic: NewTopic
) -> None:
    """After a refused batch a new producer is made: the next messages to that partition arrive."""
    topic = await new_topic("said", partitions=1, configuration={"max.message.bytes": "10000"})
    async with publishing(broker.bootstrap_servers) as publisher:
        await publisher.publish([message(topic, "a")])
        with pytest.raises(BrokerUnavailable, match="MessageSizeTooLarge"):
            await publisher.publish([message(topic, "b", 20_000)])
        assert len(publisher.troubles()) == 1
        await eventually(lambda: _accepted(publisher, message(topic, "c")), lambda ok: ok)
        await publisher.publish([message(topic, "d")])

        assert publisher.troubles() == []
    seen = await read(broker.bootstrap_servers, topic)

    assert list(seen) == [message(topic, text) for text in "acd"]


async def test_those_who_publish_at_once_share_a_failure(
    broker: AnyBroker, new_topic: NewTopic
) -> None:
    """Each of many callers is told of its own messages: acknowledged, or unknown."""
    topic = await new_topic("said", partitions=1, configuration={"max.message.bytes": "10000"})
    acknowledged: list[str] = []

    async def publish(text: str, size: int) -> None:
        try:
            await publisher.publish([message(topic, text, size)])
        except BrokerUnavailable:
            return
        acknowledged.append(text)

    async with publishing(broker.bootstrap_servers) as publisher:
        await publisher.start()
        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(publish, str(number), 20_000 if number == 15 else 0)
    seen = {one.event_id for one in await read(broker.bootstrap_servers, topic)}

    assert "15" not in seen
    assert set(acknowledged) <= seen


async def _accepted(publisher: IdempotentPublisher, one: Message) -> bool:
    try:
        await publisher.publish([one])
    except BrokerUnavailable:
        return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_an_outcome_that_is_not_known_is_told_in_time(
    own_broker: KafkaBroker, new_topic: NewTopic
) -> None:
    """A broker that does not answer holds up nobody for longer than the deadline; then it heals."""
    topic = await new_topic("said", partitions=1)
    async with publishing(own_broker.bootstrap_servers, publish_seconds=1.0) as publisher:
        await publisher.publish([message(topic, "a")])
        own_broker.pause()
        with anyio.fail_after(15):
            with pytest.raises(BrokerUnavailable, match="did not answer in time"):
                await publisher.publish([message(topic, "b")])
        own_broker.resume()
        await eventually(lambda: _accepted(publisher, message(topic, "b")), lambda ok: ok)
        seen = [one.event_id for one in await read(own_broker.bootstrap_servers, topic)]

    assert seen[0] == "a"
    assert set(seen[1:]) == {"b"}  # once or twice: its first outcome was unknown


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_it_starts_before_the_broker_does(
    own_broker: KafkaBroker, new_topic: NewTopic
) -> None:
    """While the broker is away ``publish`` tells so at once; ``start`` waits for it."""
    topic = await new_topic("said", partitions=1)
    await anyio.to_thread.run_sync(own_broker.kill)
    async with (
        publishing(own_broker.bootstrap_servers) as publisher,
        anyio.create_task_group() as tasks,
    ):
        with pytest.raises(BrokerUnavailable):
            await publisher.publish([message(topic, "early")])
        tasks.start_soon(anyio.to_thread.run_sync, own_broker.start)
        with anyio.fail_after(50):
            await publisher.start()
        await publisher.publish([message(topic, "a")])

    assert list(await read(own_broker.bootstrap_servers, topic)) == [message(topic, "a")]
