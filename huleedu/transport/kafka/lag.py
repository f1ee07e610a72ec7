"""How far every consumer group has come in every topic."""

from collections.abc import Collection, Mapping, Sequence

import anyio
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from huleedu.core.clock import Clock
from huleedu.core.settings import ModuleSettings, Settings
from huleedu.core.settings_keys import MODULE_PREFIXES
from huleedu.transport.kafka.administration import (
    CALL_SECONDS,
    REQUEST_TIMEOUT_MS,
    administration,
    group_offsets,
    partition_counts,
)
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.deadlines import within
from huleedu.transport.kafka.retention import retentions
from huleedu.transport.kafka.topics import contract_topics

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
        committed = {
            group: {
                partition: at.offset
                for partition, at in (await group_offsets(admin, group, partitions, clock)).items()
            }
            for group in asked
        }
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
