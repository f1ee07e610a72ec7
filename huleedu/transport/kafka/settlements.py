"""Which dead letters on a broker are settled: kept as the offsets of a group that reads nothing.

Kafka forgets the offsets of a group without members some days after the last change
(``offsets.retention.minutes``, 7 days by default): what it still keeps of older dead letters then
waits again.  A replay of it has the id of the earlier one.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

import anyio
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from huleedu.core.clock import Clock
from huleedu.core.errors import BrokerUnavailable
from huleedu.transport.kafka.administration import CALL_SECONDS, REQUEST_TIMEOUT_MS
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.deadlines import within
from huleedu.transport.kafka.settled_offsets import SettledOffsets

GROUP = "huleedu-dlq"

_COORDINATOR_SECONDS = 20.0  # the first group of a new cluster waits for it to be made
_ASK_AGAIN_SECONDS = 0.2
_CLOSE_SECONDS = 2.0


class Settlements:
    """What is settled in each partition of dead letters; made by :meth:`opened`."""

    def __init__(
        self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, clock: Clock
    ) -> None:
        self._admin = admin
        self._consumer = consumer
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, connection: KafkaConnection, admin: AIOKafkaAdminClient, clock: Clock
    ) -> AsyncGenerator[Self]:
        """Be ready to read and write them until the block is left.

        Raises ``BrokerUnavailable``.
        """
        consumer = AIOKafkaConsumer(
            group_id=GROUP,
            enable_auto_commit=False,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            **connection.client_options(),
        )
        try:
            with within(CALL_SECONDS, "connecting"):
                await consumer.start()
            yield cls(admin, consumer, clock)
        finally:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await consumer.stop()

    async def read(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, SettledOffsets]:
        """Return what was noted as settled in each; nothing where nothing was.

        Raises ``BrokerUnavailable``, and ``Misconfigured`` for offsets that are not ours.
        """
        deadline = self._clock.monotonic() + _COORDINATOR_SECONDS
        while True:
            try:
                with within(CALL_SECONDS, f"asking for the offsets of group {GROUP}"):
                    told = await self._admin.list_consumer_group_offsets(
                        GROUP, partitions=list(partitions)
                    )
                # A coordinator that is still loading answers with nothing; one that knows
                # answers -1 for a partition without an offset.
                if len(told) == len(partitions):
                    break
                trouble = BrokerUnavailable(f"the offsets of group {GROUP} are not there yet")
            except BrokerUnavailable as error:
                trouble = error
            if self._clock.monotonic() > deadline:
                raise trouble
            await self._clock.sleep(_ASK_AGAIN_SECONDS)
        return {
            partition: SettledOffsets.from_text(max(0, at.offset), at.metadata)
            for partition, at in told.items()
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
        offsets = {
            partition: OffsetAndMetadata(one.start, one.as_text())
            for partition, one in settled.items()
        }
        # The library commits for partitions that are assigned; of these nothing is to be fetched.
        self._consumer.assign(list(offsets))
        self._consumer.pause(*offsets)
        with within(CALL_SECONDS, "noting what is settled"):
            await self._consumer.commit(offsets)


async def logs(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> Mapping[TopicPartition, range]:
    """Return the offsets that each log has.  Raises ``BrokerUnavailable``."""
    with within(CALL_SECONDS, "asking for the ends of the logs"):
        first = await consumer.beginning_offsets(partitions)
        end = await consumer.end_offsets(partitions)
    return {tp: range(first[tp], end[tp]) for tp in partitions}
