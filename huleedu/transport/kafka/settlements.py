"""Which dead letters on a broker are settled: kept as the offsets of a group that reads nothing.

Kafka forgets the offsets of a group without members some days after the last change
(``offsets.retention.minutes``, 7 days by default) unless they are committed with a time of their
own, as they are here: for longer than dead letters are kept.  Should they be gone all the same,
what was settled waits again and nothing is hidden; a replay of it has the id of the earlier one.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

import anyio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError, NoError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest

from huleedu.core.clock import Clock
from huleedu.transport.kafka.administration import (
    CALL_SECONDS,
    REQUEST_TIMEOUT_MS,
    group_offsets,
)
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.coordinator import ask_coordinator
from huleedu.transport.kafka.deadlines import within
from huleedu.transport.kafka.retention import DAY_MS, FOR_EVER
from huleedu.transport.kafka.settled_offsets import SettledOffsets

GROUP = "huleedu-dlq"

_ASK_AGAIN_SECONDS = 0.2
_CLOSE_SECONDS = 2.0
_LONGER_MS = 30 * DAY_MS
"""A log is deleted in pieces of up to 7 days (``segment.ms``) and by a clock of its own."""
_NEVER_MS = 100 * 365 * DAY_MS


class Settlements:
    """What is settled in each partition of dead letters; made by :meth:`opened`."""

    def __init__(
        self,
        admin: AIOKafkaAdminClient,
        consumer: AIOKafkaConsumer,
        client: AIOKafkaClient,
        clock: Clock,
        retention_ms: int,
    ) -> None:
        self._admin = admin
        self._consumer = consumer
        self._client = client
        self._clock = clock
        self._kept_ms = _NEVER_MS if retention_ms == FOR_EVER else retention_ms + _LONGER_MS

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        connection: KafkaConnection,
        admin: AIOKafkaAdminClient,
        clock: Clock,
        retention_ms: int = FOR_EVER,
    ) -> AsyncGenerator[Self]:
        """Be ready to read and write them until the block is left.

        ``retention_ms`` is how long dead letters are kept.  Raises ``BrokerUnavailable``.
        """
        options = connection.client_options()
        consumer = AIOKafkaConsumer(
            enable_auto_commit=False, request_timeout_ms=REQUEST_TIMEOUT_MS, **options
        )
        client = AIOKafkaClient(request_timeout_ms=REQUEST_TIMEOUT_MS, **options)
        try:
            with within(CALL_SECONDS, "connecting"):
                await consumer.start()
                await client.bootstrap()
            yield cls(admin, consumer, client, clock, retention_ms)
        finally:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await client.close()
                await consumer.stop()

    async def read(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, SettledOffsets]:
        """Return what was noted as settled in each; nothing where nothing was.

        Raises ``BrokerUnavailable``, and ``Misconfigured`` for offsets that are not ours.
        """
        noted = await group_offsets(self._admin, GROUP, partitions, self._clock)
        return {
            partition: SettledOffsets.from_text(noted[partition].offset, noted[partition].metadata)
            if partition in noted
            else SettledOffsets(0)
            for partition in partitions
        }

    async def within_logs(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, SettledOffsets]:
        """Return the same, of what the logs have.  Raises as :meth:`read`."""
        noted = await self.read(partitions)
        # After what is noted: a log only grows, unless its topic was made anew.
        limits = await logs(self._consumer, partitions)
        return {tp: one.within(limits[tp]) for tp, one in noted.items()}

    async def write(self, settled: Mapping[TopicPartition, SettledOffsets]) -> None:
        """Note what is settled.  Raises ``Conflict``, ``BrokerUnavailable`` (outcome unknown)."""
        topics: dict[str, list[tuple[int, int, str]]] = {}
        for (topic, number), one in settled.items():
            topics.setdefault(topic, []).append((number, one.start, one.as_text()))
        # The library's own commit cannot say how long the offsets are to be kept; as it does, this
        # one names no generation and no member, as whoever is in no group.
        request = OffsetCommitRequest(GROUP, -1, "", self._kept_ms, list(topics.items()))
        with within(CALL_SECONDS, "noting what is settled"):
            while True:
                try:
                    await self._commit(request)
                except KafkaError as error:  # a coordinator that moves, or is still being made
                    if not error.retriable:
                        raise
                else:
                    return
                await self._clock.sleep(_ASK_AGAIN_SECONDS)

    async def _commit(self, request: OffsetCommitRequest) -> None:
        """Send it once.  Raises the library's error."""
        answer = await ask_coordinator(self._client, CoordinationType.GROUP, GROUP, request)
        for _, partitions in answer.topics:
            for _, code in partitions:
                if for_code(code) is not NoError:
                    raise for_code(code)()


async def logs(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> Mapping[TopicPartition, range]:
    """Return the offsets that each log has.  Raises ``BrokerUnavailable``."""
    with within(CALL_SECONDS, "asking for the ends of the logs"):
        first = await consumer.beginning_offsets(partitions)
        end = await consumer.end_offsets(partitions)
    return {tp: range(first[tp], end[tp]) for tp in partitions}
