"""How far every consumer group has come in every topic."""

from collections.abc import Collection, Mapping, Sequence

import anyio
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from huleedu.core.clock import Clock
from huleedu.core.errors import BrokerUnavailable
from huleedu.core.settings import ModuleSettings, Settings
from huleedu.core.settings_keys import MODULE_PREFIXES
from huleedu.transport.kafka.administration import (
    CALL_SECONDS,
    REQUEST_TIMEOUT_MS,
    administration,
    partition_counts,
)
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.deadlines import within
from huleedu.transport.kafka.retention import retentions
from huleedu.transport.kafka.topics import contract_topics

_GROUP_SECONDS = 20.0  # the first group of a new cluster waits for its coordinator to be made
_ASK_AGAIN_SECONDS = 0.2
_CLOSE_SECONDS = 2.0


class TopicState(msgspec.Struct, frozen=True):
    """A topic as it is on the broker."""

    topic: str
    partitions: int | None
    """None: it is not there."""
    lag: dict[str, int]
    """Group → messages between what it committed and the end of the log, over all partitions.

    Only groups that committed something in this topic; where such a group committed nothing in a
    partition, it is behind by all that is kept there.  The mark that ends a transaction counts as
    a message until the group has read past it.
    """
    retention_ms: int | None = None
    """How long the broker keeps a record; -1: for ever, None: the topic is not there."""


def known_groups(settings: Settings) -> list[str]:
    """Return the consumer groups of this deployment."""
    modules: list[ModuleSettings] = [getattr(settings, name) for name in MODULE_PREFIXES]
    return [module.consumer_group for module in modules if module.consumer_group is not None]


async def list_topics(
    connection: KafkaConnection,
    groups: Sequence[str],
    clock: Clock,
    topics: Collection[str] | None = None,
) -> list[TopicState]:
    """Return the state of each topic (None: those of the contract), in their order.

    Raises ``BrokerUnavailable`` when the broker does not answer in time.
    """
    names = contract_topics() if topics is None else topics
    async with administration(connection) as admin:
        counts = await partition_counts(admin)
        partitions = [
            TopicPartition(name, number) for name in names for number in range(counts.get(name, 0))
        ]
        kept = await retentions(admin, [name for name in names if name in counts])
        asked = groups if partitions else ()
        committed = {group: await _committed(admin, group, partitions, clock) for group in asked}
    logs = await _logs(connection, partitions)
    return [
        TopicState(
            name,
            counts.get(name),
            {
                group: _lag(offsets, logs, name)
                for group, offsets in committed.items()
                if any(part.topic == name for part in offsets)
            },
            kept.get(name),
        )
        for name in names
    ]


def _lag(
    committed: Mapping[TopicPartition, int], logs: Mapping[TopicPartition, range], topic: str
) -> int:
    return sum(
        max(0, log.stop - committed.get(part, log.start))
        for part, log in logs.items()
        if part.topic == topic
    )


async def _committed(
    admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition], clock: Clock
) -> dict[TopicPartition, int]:
    """Return what the group committed, without the partitions where it committed nothing."""
    deadline = clock.monotonic() + _GROUP_SECONDS
    while True:
        try:
            with within(CALL_SECONDS, f"asking for the offsets of group {group}"):
                told = await admin.list_consumer_group_offsets(group, partitions=partitions)
            # A coordinator that is still loading answers with nothing, and the library takes that
            # for an answer; one that knows answers -1 for a partition without an offset.
            if len(told) == len(partitions):
                return {part: told[part].offset for part in partitions if told[part].offset >= 0}
            trouble = BrokerUnavailable(f"the offsets of group {group} are not there yet")
        except BrokerUnavailable as error:
            trouble = error
        if clock.monotonic() > deadline:
            raise trouble
        await clock.sleep(_ASK_AGAIN_SECONDS)


async def _logs(
    connection: KafkaConnection, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, range]:
    """Return, for each partition, the offsets that its log has or had: ``range(first, end)``."""
    if not partitions:
        return {}
    consumer = AIOKafkaConsumer(
        request_timeout_ms=REQUEST_TIMEOUT_MS, **connection.client_options()
    )
    try:
        with within(CALL_SECONDS, "asking for the ends of the logs"):
            await consumer.start()
            first = await consumer.beginning_offsets(partitions)
            end = await consumer.end_offsets(partitions)
    finally:
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await consumer.stop()
    return {part: range(first[part], end[part]) for part in partitions}
