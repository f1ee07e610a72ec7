"""Kafka as the suite of every transport sees it: fresh topics for each test, stores in a folder."""

import sqlite3
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from huleedu.core.enums import ProcessingEvent
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.core.settings import KafkaSettings
from huleedu.core.topics import dead_letter_topic, topic_name
from huleedu.store.database import Database
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import outbox_identity_migrations
from huleedu.store.positions import position_migrations
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.membership import message_of
from huleedu.transport.kafka.retention import topic_configuration
from huleedu.transport.kafka.transport import KafkaTransport
from huleedu.transport.protocol import Subscription
from tests.support.consumers import CANCELLED, PROCEED, effect_migrations
from tests.support.eventually import eventually
from tests.support.kafka_topics import create_topic, delete_topics
from tests.transport.bus import until_sent

TOPICS = (PROCEED, CANCELLED, topic_name(ProcessingEvent.BATCH_ESSAYS_REGISTERED))
MIGRATIONS = (
    outbox_migrations,
    outbox_identity_migrations,
    position_migrations,
    effect_migrations,
)


class KafkaBus:
    """A deployment over a real broker."""

    def __init__(
        self,
        bootstrap_servers: str,
        folder: Path,
        partitions: int = 3,
        topics: Sequence[str] = TOPICS,
    ) -> None:
        self.platform = Platform()
        self.connection = KafkaConnection(bootstrap_servers)
        self._folder = folder
        self._partitions = partitions
        self._topics = topics
        self._stores: dict[str, Database] = {}
        self._groups: Sequence[Subscription] = ()

    async def open(self) -> None:
        """Make every topic anew."""
        names = [name for topic in self._topics for name in (topic, dead_letter_topic(topic))]
        await delete_topics(self.connection.bootstrap_servers, names)
        for name in names:
            await create_topic(
                self.connection.bootstrap_servers,
                name,
                partitions=self._partitions,
                configuration=topic_configuration(name, KafkaSettings()),
            )

    async def store(self, name: str) -> Database:
        if name not in self._stores:
            path = self._folder / f"{name}.db"
            self._stores[name] = Database(path, MIGRATIONS, self.platform.hops)
            await self._stores[name].open()
        return self._stores[name]

    @asynccontextmanager
    async def running(
        self, subscriptions: Sequence[Subscription], relays: Sequence[Database] = ()
    ) -> AsyncIterator[KafkaTransport]:
        self._groups = subscriptions
        transport = KafkaTransport(self.connection, self.platform)
        for subscription in subscriptions:
            transport.subscribe(_with_store(subscription))
        for database in relays:
            transport.relay(database)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transport.run)
            try:
                yield transport
            finally:
                tasks.cancel_scope.cancel()

    async def until_handled(self, sender: Database) -> None:
        await until_sent(sender)
        for subscription in self._groups:
            for topic in subscription.topics:
                last = {m.partition: m.offset for m in await self.read(topic)}
                committed = partial(self._committed, subscription.group, topic)
                await eventually(committed, partial(_is_past, last))
        for store in self._stores.values():
            await eventually(partial(store.read, _count_parked), lambda count: count == 0)

    async def _committed(self, group: str, topic: str) -> dict[int, int]:
        admin = AIOKafkaAdminClient(**self.connection.client_options())
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(group)
        finally:
            await admin.close()
        return {tp.partition: at.offset for tp, at in offsets.items() if tp.topic == topic}

    async def dead_letters(self) -> Sequence[Message]:
        return [m for topic in TOPICS for m in await self.read(dead_letter_topic(topic))]

    async def read(self, topic: str) -> Sequence[Message]:
        """Return all that a read_committed reader finds in a topic.

        A transaction shows a moment after its commit was answered, so that every row which an
        outbox of ours marked as sent is waited for.
        """
        count = "SELECT count(*) FROM outbox WHERE topic = ? AND sent_at IS NOT NULL"
        sent = 0
        for store in self._stores.values():
            ((rows,),) = await store.read(lambda db: db.execute(count, (topic,)).fetchall())
            sent += rows
        return await eventually(partial(self._read_now, topic), partial(_has, sent))

    async def _read_now(self, topic: str) -> Sequence[Message]:
        consumer = AIOKafkaConsumer(
            topic,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            enable_auto_commit=False,
            **self.connection.client_options(),
        )
        await consumer.start()
        try:
            found: list[Message] = []
            ends = await self._ends(consumer.assignment())
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [message_of(record) for record in records]
            return found
        finally:
            await consumer.stop()

    async def _ends(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        everything = AIOKafkaConsumer(**self.connection.client_options())
        await everything.start()
        try:
            ends: Mapping[TopicPartition, int] = await everything.end_offsets(list(partitions))
            return ends
        finally:
            await everything.stop()

    async def close(self) -> None:
        async with AsyncExitStack() as stack:
            for store in self._stores.values():
                stack.push_async_callback(store.close)


def _with_store(subscription: Subscription) -> Subscription:
    consumer = subscription.consumer
    if isinstance(consumer, StoreConsumer):
        return replace(subscription, store=consumer._database)
    return subscription


def _count_parked(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM parked").fetchone()[0])


def _is_past(last: Mapping[int | None, int | None], committed: Mapping[int, int]) -> bool:
    return all(
        partition is None or offset is None or committed.get(partition, 0) > offset
        for partition, offset in last.items()
    )


def _has(count: int, messages: Sequence[Message]) -> bool:
    return len(messages) >= count
