"""What a broker decided and did not carry out: its coordinator says so, and no partition knows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from huleedu.core.clock import SystemClock
from huleedu.core.message import Message
from huleedu.store.database import Database
from huleedu.store.outbox_identity import note_topics, read_outbox_id
from huleedu.transport.kafka.outbox_slices import mark_sent_up_to
from huleedu.transport.kafka.position import position_offsets, transactional_id
from huleedu.transport.kafka.shared_rows import Position
from huleedu.transport.kafka.steps import Step
from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_fixtures import NewTopic
from tests.transport.kafka.relay_support import (
    FailsOnce,
    drained,
    make_position_topic,
    opened,
    read,
    relaying,
    say,
)

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

NODE = ConfigResource(
    ConfigResourceType.BROKER, "1", {"transaction.partition.verification.enable": "false"}
)


@pytest.fixture(autouse=True)
async def _unverified(own_broker: KafkaBroker) -> AsyncIterator[None]:
    """Have the broker take records of transactions that its coordinator does not know of."""
    await make_position_topic(own_broker.bootstrap_servers)
    administration = AIOKafkaAdminClient(bootstrap_servers=own_broker.bootstrap_servers)
    await administration.start()
    try:
        await administration.alter_configs([NODE])
        yield
        await administration.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", {})])
    finally:
        await administration.close()


def numbered(topic: str, numbers: range) -> list[Message]:
    return [Message(topic, b"k", b"", {"event-id": str(number)}) for number in numbers]


async def leave_undecided(
    broker: KafkaBroker, outbox_id: str, messages: Sequence[Message], last_id: int, *, commits: bool
) -> None:
    """Leave a transaction as a coordinator does that took its partitions for deleted ones.

    It recorded that the transaction commits, or not; every partition waits for the marker.
    """
    name = transactional_id(outbox_id)
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, transactional_id=name, acks="all"
    )
    await producer.start()
    try:
        await producer.begin_transaction()  # one that is carried out, for the record's sake
        await producer.send_offsets_to_transaction(
            position_offsets(Position(last_id - len(messages))), name
        )
        await (producer.commit_transaction() if commits else producer.abort_transaction())

        await producer.begin_transaction()
        known_to_client = producer._txn_manager
        known_to_client._txn_partitions.add(TopicPartition(messages[0].topic, 0))
        known_to_client.consumer_group_added(name)
        for message in messages:
            headers = [(key, value.encode()) for key, value in message.headers.items()]
            await producer.send_and_wait(message.topic, message.value, message.key, headers=headers)
        await producer.send_offsets_to_transaction(position_offsets(Position(last_id)), name)
    finally:
        known_to_client.fatal_error(RuntimeError("it died"))
        producer._txn_manager._transaction_waiter.exception()
        await producer.stop()


@asynccontextmanager
async def half_decided(
    broker: KafkaBroker, path: Path, topic: str, *, commits: bool
) -> AsyncIterator[Database]:
    """A store with rows 0 to 5 said on a topic: 0 to 2 are published, 3 to 5 left undecided."""
    rows = numbered(topic, range(6))
    async with opened(path) as store:
        await say(store, rows[:3])
        async with relaying(store, broker.bootstrap_servers):
            await drained(store)
        await say(store, rows[3:])
        outbox_id = await store.read(read_outbox_id)
        await leave_undecided(broker, outbox_id, rows[3:], 6, commits=commits)
        yield store


@pytest.mark.parametrize("marked", [False, True], ids=["unmarked", "marked"])
@pytest.mark.parametrize("commits", [False, True], ids=["aborted", "committed"])
async def test_a_transaction_left_undecided_shows_its_rows_once(
    own_broker: KafkaBroker, new_topic: NewTopic, tmp_path: Path, *, commits: bool, marked: bool
) -> None:
    """Whichever way it had ended, and whether or not the relay had heard so, nobody waits for it.

    A commit that was recorded is carried out.  Else the rows are rolled back and sent again, even
    if they are marked: an acknowledged commit is rolled back when a later transaction aborts.
    """
    servers = own_broker.bootstrap_servers
    topic = await new_topic("said", partitions=1)
    async with half_decided(own_broker, tmp_path / "o.db", topic, commits=commits) as store:
        if marked:
            now = SystemClock().now()
            await store.write(lambda db: mark_sent_up_to(db, 3, 6, now))

        await say(store, numbered(topic, range(6, 9)))
        async with relaying(store, servers):
            await drained(store)

    assert [one.event_id for one in await read(servers, topic)] == [str(n) for n in range(9)]


@pytest.mark.parametrize("step", [Step.ENDING_NOTED, Step.STARTED, Step.DECIDED])
async def test_a_relay_that_fails_while_it_settles_carries_the_ending_out_all_the_same(
    own_broker: KafkaBroker, new_topic: NewTopic, tmp_path: Path, step: Step
) -> None:
    """A new producer makes the broker forget how the last one had ended; the store does not."""
    servers = own_broker.bootstrap_servers
    topic = await new_topic("said", partitions=1)
    async with (
        half_decided(own_broker, tmp_path / "o.db", topic, commits=True) as store,
        relaying(store, servers, FailsOnce(step).at),
    ):
        await drained(store)

    assert [one.event_id for one in await read(servers, topic)] == [str(n) for n in range(6)]


async def test_a_topic_that_is_gone_does_not_hold_up_an_outbox(
    own_broker: KafkaBroker, new_topic: NewTopic, tmp_path: Path
) -> None:
    """Rows for other topics are published although one that was written to was deleted."""
    servers = own_broker.bootstrap_servers
    topic = await new_topic("said", partitions=1)
    async with opened(tmp_path / "o.db") as store:
        await store.write(lambda db: note_topics(db, [f"{topic}.gone"]))
        await say(store, numbered(topic, range(1)))
        async with relaying(store, servers):
            await drained(store)

    assert len(await read(servers, topic)) == 1
