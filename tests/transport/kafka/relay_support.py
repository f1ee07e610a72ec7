"""An outbox and its relay within the test's own process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import TopicAlreadyExistsError

from huleedu.core.clock import SystemClock
from huleedu.core.errors import BrokerUnavailable
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.outbox_identity import outbox_identity_migrations
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.position import position_partition
from huleedu.transport.kafka.relay import KafkaRelay, RelayTimes
from huleedu.transport.kafka.steps import At, Step, no_stop
from tests.support.eventually import eventually
from tests.support.kafka_topics import create_topic

QUICK = RelayTimes(lapse_seconds=2.0, beat_seconds=0.2, call_seconds=2.0)
READ_SECONDS_MAX = 60.0  # a transaction that nobody ends holds a reader up for about as long
_LAST = b"last"


async def make_position_topic(bootstrap_servers: str) -> None:
    """Make the topic on which every outbox keeps its position, where it is not there yet."""
    try:
        await create_topic(bootstrap_servers, position_partition().topic)
    except TopicAlreadyExistsError:
        return


class FailsOnce:
    """The broker seems to be away once, at this step."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.has_failed = False

    async def at(self, step: Step) -> None:
        if step == self._step and not self.has_failed:
            self.has_failed = True
            raise BrokerUnavailable(f"as planned, at {step}")


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    """A store with nothing but an outbox."""
    migrations = (outbox.outbox_migrations, outbox_identity_migrations)
    database = Database(path, migrations, Platform().hops)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def relay_of(
    database: Database, bootstrap_servers: str, holder: str, at: At = no_stop
) -> KafkaRelay:
    """A relay of the outbox, to be run."""
    return KafkaRelay(database, KafkaConnection(bootstrap_servers), Platform(), holder, QUICK, at)


@asynccontextmanager
async def relaying(
    database: Database, bootstrap_servers: str, at: At = no_stop
) -> AsyncIterator[KafkaRelay]:
    """A relay of the outbox that runs meanwhile."""
    relay = relay_of(database, bootstrap_servers, "one", at)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(relay.run)
        yield relay
        tasks.cancel_scope.cancel()


async def say(database: Database, messages: Sequence[Message]) -> None:
    """Put messages into the outbox."""
    now = SystemClock().now()
    await database.write(lambda connection: outbox.add(connection, messages, now))


async def drained(database: Database, seconds: float = 20.0) -> None:
    """Return when every row is marked as sent."""
    await eventually(lambda: database.read(outbox.backlog), lambda left: left[0] == 0, seconds)


async def read(bootstrap_servers: str, topic: str) -> Sequence[Message]:
    """Return all that a read_committed reader sees on a topic of one partition."""
    # It reads until a record that is put behind all others: whatever is before it, it has seen.
    await _put_last_record(bootstrap_servers, topic)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    seen: list[Message] = []
    await consumer.start()
    try:
        with anyio.fail_after(READ_SECONDS_MAX):
            while (record := await consumer.getone()).key != _LAST:
                headers = {name: value.decode() for name, value in record.headers}
                seen.append(Message(record.topic, record.key, record.value, headers))
    except TimeoutError:
        (partition,) = consumer.assignment()
        stable, end = consumer.last_stable_offset(partition), consumer.highwater(partition)
        raise AssertionError(
            f"{topic}: only {len(seen)} messages after {READ_SECONDS_MAX:.0f} s; "
            f"stable up to {stable}, ends at {end}"
        ) from None
    finally:
        await consumer.stop()
    return seen


async def _put_last_record(bootstrap_servers: str, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"", _LAST)
    finally:
        await producer.stop()
