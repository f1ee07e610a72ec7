"""The broker's side of an outbox: fencing, the position, and what is not known for certain."""

from uuid import uuid4

import anyio
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from huleedu.core.errors import BrokerUnavailable
from huleedu.core.message import Message
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.deadlines import Fenced
from huleedu.transport.kafka.shared_rows import Position
from huleedu.transport.kafka.steps import Step, no_stop
from huleedu.transport.kafka.transactions import OutboxTransactions, last_ending
from tests.support.eventually import eventually
from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_fixtures import AnyBroker, NewTopic
from tests.transport.kafka.relay_support import make_position_topic, read

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


@pytest.fixture(autouse=True)
async def _position_topic(broker: AnyBroker) -> None:
    await make_position_topic(broker.bootstrap_servers)


def message(topic: str, text: str) -> Message:
    return Message(topic, b"k", text.encode(), {"event-id": text})


async def opened(
    broker: AnyBroker, outbox_id: str, call_seconds: float = 10.0
) -> OutboxTransactions:
    return await OutboxTransactions.opened(
        KafkaConnection(broker.bootstrap_servers), outbox_id, call_seconds, 60_000
    )


async def test_the_position_is_the_last_row_published(
    broker: AnyBroker, new_topic: NewTopic
) -> None:
    """There is none at first; then it is that of the last transaction, for every later producer."""
    topic, outbox_id = await new_topic("said", partitions=1), uuid4().hex
    first = await opened(broker, outbox_id)
    try:
        assert await eventually(lambda: _position(first), lambda told: told != "unknown") is None
        await first.publish([message(topic, "a")], Position(7), no_stop)
        await first.publish([message(topic, "b")], Position(9), no_stop)
    finally:
        await first.close()
    second = await opened(broker, outbox_id)
    try:
        assert await second.position() == Position(9)
    finally:
        await second.close()

    assert list(await read(broker.bootstrap_servers, topic)) == [
        message(topic, "a"),
        message(topic, "b"),
    ]


@pytest.mark.parametrize("step", [Step.BEGUN, Step.ROWS_ACKNOWLEDGED, Step.POSITION_SENT])
async def test_an_older_producer_shows_nothing_any_more(
    broker: AnyBroker, new_topic: NewTopic, step: Step
) -> None:
    """When a newer producer is open, what the older one had begun is undone and it is fenced."""
    topic, outbox_id = await new_topic("said", partitions=1), uuid4().hex
    older = await opened(broker, outbox_id)
    newer: list[OutboxTransactions] = []

    async def overtake(now: Step) -> None:
        if now == step:
            newer.append(await opened(broker, outbox_id))

    try:
        with pytest.raises(Fenced):
            await older.publish([message(topic, "a")], Position(1), overtake)
        assert await eventually(lambda: _position(newer[0]), lambda told: told != "unknown") is None
        await newer[0].publish([message(topic, "b")], Position(1), no_stop)
        with pytest.raises(BrokerUnavailable):
            await older.publish([message(topic, "late")], Position(2), no_stop)
    finally:
        await older.close()
        for one in newer:
            await one.close()

    assert list(await read(broker.bootstrap_servers, topic)) == [message(topic, "b")]


async def test_an_aborted_transaction_lets_readers_go_on(
    broker: AnyBroker, new_topic: NewTopic
) -> None:
    """Who leaves in the middle aborts, and nobody waits for the transaction's timeout."""
    topic = await new_topic("said", partitions=1)
    leaving = await opened(broker, uuid4().hex)
    try:
        with anyio.CancelScope() as scope:

            async def leave(now: Step) -> None:
                if now == Step.ROWS_ACKNOWLEDGED:
                    scope.cancel()
                    await anyio.sleep_forever()

            await leaving.publish([message(topic, "a")], Position(1), leave)
        await leaving.abort()
    finally:
        await leaving.close()

    assert list(await read(broker.bootstrap_servers, topic)) == []


async def test_what_readers_are_not_shown_is_told(broker: AnyBroker, new_topic: NewTopic) -> None:
    """From the first record of a transaction that has not ended, whoever's it is, until it has."""
    topic = await new_topic("said", partitions=2)
    ours = await opened(broker, uuid4().hex)
    other = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, transactional_id=uuid4().hex
    )
    await other.start()
    try:
        await ours.publish([message(topic, "a")], Position(1), no_stop)
        await eventually(lambda: ours.hidden_from([topic, "gone"]), lambda hidden: not hidden)
        await other.begin_transaction()
        record = await other.send_and_wait(topic, b"b", key=b"k")
        await ours.publish([message(topic, "c")], Position(2), no_stop)

        hidden = await ours.hidden_from([topic])
        await other.abort_transaction()

        assert hidden == {TopicPartition(topic, record.partition): record.offset}
        await eventually(lambda: ours.hidden_from([topic]), lambda hidden: not hidden)
    finally:
        await other.stop()
        await ours.close()


async def test_a_lost_connection_casts_doubt(broker: AnyBroker, new_topic: NewTopic) -> None:
    """Whoever answers on a new one may have been away: nothing more is begun."""
    topic = await new_topic("said", partitions=1)
    transactions = await opened(broker, uuid4().hex)
    try:
        await transactions.publish([message(topic, "a")], Position(1), no_stop)
        before = transactions.is_doubtful
        for connection in list(transactions._producer.client._conns.values()):
            connection.close()

        with pytest.raises(BrokerUnavailable):
            await transactions.publish([message(topic, "b")], Position(2), no_stop)

        assert (before, transactions.is_doubtful) == (False, True)
    finally:
        await transactions.close()

    assert list(await read(broker.bootstrap_servers, topic)) == [message(topic, "a")]


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_request_that_was_repeated_casts_doubt(
    own_broker: KafkaBroker, new_topic: NewTopic
) -> None:
    """When the library had to commit twice to be answered once, the producer is not used again."""
    topic, outbox_id = await new_topic("said", partitions=1), uuid4().hex
    transactions = await opened(own_broker, outbox_id, call_seconds=50.0)

    frozen = anyio.Event()

    async def freeze(now: Step) -> None:
        if now == Step.POSITION_SENT:
            own_broker.pause()
            frozen.set()

    async def restart() -> None:
        await anyio.sleep(0.5)  # meanwhile the commit is sent
        await anyio.to_thread.run_sync(own_broker.kill)
        await anyio.to_thread.run_sync(own_broker.start)

    try:
        await transactions.publish([message(topic, "a")], Position(1), no_stop)
        before = transactions.is_doubtful
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transactions.publish, [message(topic, "b")], Position(2), freeze)
            await frozen.wait()
            await restart()

        assert (before, transactions.is_doubtful) == (False, True)
    finally:
        await transactions.close()
    await _settle(own_broker, outbox_id, topic)
    assert len(await read(own_broker.bootstrap_servers, topic)) == 2


async def _settle(broker: AnyBroker, outbox_id: str, topic: str) -> None:
    """Do what a relay does first."""
    commits = await last_ending(KafkaConnection(broker.bootstrap_servers), outbox_id)
    newer = await opened(broker, outbox_id)
    try:
        await newer.decide([topic], commits is True)
    finally:
        await newer.close()


async def _position(transactions: OutboxTransactions) -> Position | str | None:
    try:
        return await transactions.position()
    except BrokerUnavailable:  # a fresh broker has yet to find its coordinators
        return "unknown"
