"""The dead letters on a broker (see ``transport.dead_letter_box``): topics ending in ``.dlq``."""

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

import anyio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from huleedu.core.errors import BrokerUnavailable, NotFound
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.core.topics import TOPICS, dead_letter_topic
from huleedu.transport import replays
from huleedu.transport.dead_letter_box import DeadLetter, Wanted
from huleedu.transport.kafka.administration import (
    CALL_SECONDS,
    REQUEST_TIMEOUT_MS,
    administration,
    partition_counts,
)
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.deadlines import within
from huleedu.transport.kafka.membership import message_of
from huleedu.transport.kafka.producer import IdempotentPublisher
from huleedu.transport.kafka.record import RECORD_BYTES_MAX, record_bytes
from huleedu.transport.kafka.retention import FOR_EVER
from huleedu.transport.kafka.settled_offsets import SettledOffsets
from huleedu.transport.kafka.settlements import Settlements, logs

FETCH_WAIT_MS = 200
FETCH_RECORDS = 100
STALL_SECONDS = 15.0
"""Longer than a transaction may stay open: what it hides is not to be seen before it ends."""
_CLOSE_SECONDS = 2.0


class RecordedDeadLetter(DeadLetter, frozen=True, kw_only=True):
    """A dead letter, and the offsets between the one before it in its partition and itself."""

    partition: TopicPartition
    offset: int
    follows: int
    """The offset behind the dead letter before it: between the two stand marks of transactions."""


class KafkaDeadLetterBox:
    """Dead letters on a broker; an id is topic, partition and offset: ``….dlq/0/17``.

    A replay is published first and noted afterwards: whoever is torn away between the two leaves
    it waiting, and it is published again under the same event id.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        platform: Platform,
        admin: AIOKafkaAdminClient,
        settlements: Settlements,
        topics: Collection[str],
    ) -> None:
        self._connection = connection
        self._platform = platform
        self._admin = admin
        self._settlements = settlements
        self._topics = topics
        self._publisher = IdempotentPublisher(connection, platform)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        connection: KafkaConnection,
        platform: Platform,
        topics: Collection[str] | None = None,
        retention_ms: int = FOR_EVER,
    ) -> AsyncGenerator[Self]:
        """Look into the dead letters of these topics (None: the contract's) in the block.

        ``retention_ms`` is how long they are kept: what is settled stays so for longer.  Raises
        ``BrokerUnavailable``.
        """
        names = [topic.name for topic in TOPICS.values()] if topics is None else topics
        async with (
            administration(connection) as admin,
            Settlements.opened(connection, admin, platform.clock, retention_ms) as settlements,
        ):
            box = cls(connection, platform, admin, settlements, names)
            try:
                yield box
            finally:
                await box._publisher.close()

    @property
    def place(self) -> str:
        """The brokers."""
        return f"the broker at {self._connection.bootstrap_servers}"

    async def letters(self, wanted: Wanted) -> AsyncGenerator[DeadLetter]:
        """Return those that are meant, in each partition oldest first.

        Raises ``NotFound`` for a topic that is not there, ``BrokerUnavailable``.
        """
        partitions = await self._partitions(wanted)
        if not partitions:
            return
        async with self._reader() as reader:
            noted = await self._settlements.read(partitions)
            # After what is noted, and before anything is fetched, which would hold it up.
            limits = await logs(reader, partitions)
            settled = {tp: noted[tp].within(log) for tp, log in limits.items()}
            reader.assign(partitions)
            expected = {
                tp: log.start if wanted.settled_too else settled[tp].start
                for tp, log in limits.items()
            }
            for tp, offset in expected.items():
                reader.seek(tp, offset)
            async for partition, message in self._read(reader, limits):
                letter = _recorded(partition, message, settled[partition], expected[partition])
                expected[partition] = letter.offset + 1
                if wanted.means(letter):
                    yield letter

    async def replay(self, letters: Sequence[DeadLetter], *, to_everyone: bool = False) -> int:
        """Publish them again, then note it.  Raises ``Conflict`` before anything is published."""
        mine, settled = await self._still_as_seen(
            one for one in letters if record_bytes(one.message) <= RECORD_BYTES_MAX
        )
        if mine:
            await self._publisher.publish(
                [replays.replayed(one.message, to_everyone=to_everyone) for one in mine]
            )
            await self._settlements.write(settled)
        return len(mine)

    async def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Note that they are settled; Kafka deletes them when their time is over."""
        mine, settled = await self._still_as_seen(letters)
        if mine:
            await self._settlements.write(settled)
        return len(mine)

    async def _still_as_seen(
        self, letters: Iterable[DeadLetter]
    ) -> tuple[Sequence[DeadLetter], Mapping[TopicPartition, SettledOffsets]]:
        """Return those that nobody settled since they were read, and what is settled with them."""
        recorded = [one for one in letters if isinstance(one, RecordedDeadLetter)]
        partitions = list({one.partition for one in recorded})
        if not partitions:
            return [], {}
        kept = await self._settlements.within_logs(partitions)
        mine = [
            one
            for one in recorded
            if one.settlement is not None or one.offset not in kept[one.partition]
        ]
        settled = {
            tp: kept[tp].added(
                [(one.follows, one.offset + 1) for one in mine if one.partition == tp]
            )
            for tp in partitions
        }
        for one in settled.values():
            one.as_text()  # refused now, and not when the replays are published
        return mine, settled

    async def _partitions(self, wanted: Wanted) -> list[TopicPartition]:
        counts = await partition_counts(self._admin)
        if wanted.origin_topic is not None:
            name = dead_letter_topic(wanted.origin_topic)
            if name not in counts:
                raise NotFound(f"there is no topic {name} on {self.place}")
            names = [name]
        else:
            names = [dead_letter_topic(topic) for topic in self._topics]
        partitions = [
            TopicPartition(name, number) for name in names for number in range(counts.get(name, 0))
        ]
        if wanted.ids is None:
            return partitions
        named = {one.rpartition("/")[0] for one in wanted.ids}
        return [tp for tp in partitions if f"{tp.topic}/{tp.partition}" in named]

    @asynccontextmanager
    async def _reader(self) -> AsyncGenerator[AIOKafkaConsumer]:
        reader = AIOKafkaConsumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            **self._connection.client_options(),
        )
        try:
            with within(CALL_SECONDS, "connecting"):
                await reader.start()
            yield reader
        finally:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await reader.stop()

    async def _read(
        self, reader: AIOKafkaConsumer, limits: Mapping[TopicPartition, range]
    ) -> AsyncGenerator[tuple[TopicPartition, Message]]:
        """Return every record up to where the logs ended."""
        clock = self._platform.clock
        unread = {tp for tp, log in limits.items() if await _position(reader, tp) < log.stop}
        heard_at = clock.monotonic()
        while unread:
            with within(CALL_SECONDS, "reading dead letters"):
                fetched = await reader.getmany(
                    *unread, timeout_ms=FETCH_WAIT_MS, max_records=FETCH_RECORDS
                )
            for tp, records in fetched.items():
                for record in records:
                    if record.offset < limits[tp].stop:
                        yield tp, message_of(record)
            done = {tp for tp in unread if await _position(reader, tp) >= limits[tp].stop}
            if fetched or done:
                heard_at = clock.monotonic()
            elif clock.monotonic() - heard_at > STALL_SECONDS:
                raise BrokerUnavailable("reading dead letters: nothing has come for a long time")
            reader.pause(*done)
            unread -= done


def _recorded(
    partition: TopicPartition, message: Message, settled: SettledOffsets, follows: int
) -> RecordedDeadLetter:
    assert message.offset is not None, "read from a log"
    return RecordedDeadLetter(
        id=f"{message.topic}/{message.partition}/{message.offset}",
        message=message,
        settlement="settled" if message.offset in settled else None,
        partition=partition,
        offset=message.offset,
        follows=follows,
    )


async def _position(reader: AIOKafkaConsumer, partition: TopicPartition) -> int:
    with within(CALL_SECONDS, "asking for a position"):
        position: int = await reader.position(partition)
    return position
