"""Asking the cluster about itself: the library's administration client, always with a limit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

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
