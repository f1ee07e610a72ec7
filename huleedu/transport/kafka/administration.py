"""Asking the cluster about itself: the library's administration client, always with a limit."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from aiokafka import OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from huleedu.core.clock import Clock
from huleedu.core.errors import BrokerUnavailable
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.deadlines import within

CALL_SECONDS = 10.0
"""How long one question to the cluster may take."""
REQUEST_TIMEOUT_MS = 8_000
"""The library's own limit: shorter, since its error says more than that the time was over."""
_CONNECT_SECONDS = 35.0
"""Connecting is up to four of these; a cancelled one would leave its connection open."""
_CLOSE_SECONDS = 2.0
_GROUP_SECONDS = 20.0  # the first group of a new cluster waits for its coordinator to be made
_ASK_AGAIN_SECONDS = 0.2


@asynccontextmanager
async def administration(connection: KafkaConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connect, hand out the client, close it.

    Raises ``BrokerUnavailable`` when no broker answers, or none leads the cluster yet.
    """
    admin = AIOKafkaAdminClient(
        request_timeout_ms=REQUEST_TIMEOUT_MS, **connection.client_options()
    )
    try:
        await _start(admin, connection.bootstrap_servers)
        yield admin
    finally:
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await admin.close()


async def _start(admin: AIOKafkaAdminClient, servers: str) -> None:
    with within(_CONNECT_SECONDS, f"connecting to {servers}"):
        try:
            await admin.start()
        except KafkaConnectionError as error:  # which keeps the cause, a refused login too, to logs
            raise BrokerUnavailable(
                f"no broker can be used at {servers}; aiokafka's log lines say why"
            ) from error
        cluster = await admin.describe_cluster()
    if cluster["controller_id"] < 0:
        raise BrokerUnavailable(f"the cluster at {servers} has no controller yet")


async def partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Return how many partitions each topic of the cluster has.

    Raises ``BrokerUnavailable``.
    """
    # Of all: asking for a topic by name would create it where the broker makes topics by itself.
    with within(CALL_SECONDS, "listing topics"):
        described: list[dict[str, Any]] = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def group_offsets(
    admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition], clock: Clock
) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """Return what the group committed, without the partitions where it committed nothing.

    Raises ``BrokerUnavailable``.
    """
    deadline = clock.monotonic() + _GROUP_SECONDS
    while True:
        try:
            with within(CALL_SECONDS, f"asking for the offsets of group {group}"):
                told = await admin.list_consumer_group_offsets(group, partitions=partitions)
            # A coordinator that is still loading answers with nothing, and the library takes that
            # for an answer; one that knows answers -1 for a partition without an offset.
            if len(told) == len(partitions):
                return {part: told[part] for part in partitions if told[part].offset >= 0}
            trouble = BrokerUnavailable(f"the offsets of group {group} are not there yet")
        except BrokerUnavailable as error:
            trouble = error
        if clock.monotonic() > deadline:
            raise trouble
        await clock.sleep(_ASK_AGAIN_SECONDS)
