"""Topics for one test."""

from collections.abc import Iterable, Mapping

import anyio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from tests.support.eventually import eventually

TOPIC_SECONDS_MAX = 20.0


async def create_topic(
    bootstrap_servers: str,
    name: str,
    *,
    partitions: int = 3,
    configuration: Mapping[str, str] | None = None,
) -> None:
    """Create a topic and return when every partition has a leader.

    ``configuration`` is Kafka's own, as ``{"max.message.bytes": "10000"}``.  Raises aiokafka's
    error when the broker refuses, ``AssertionError`` or
    ``TimeoutError`` after ``TOPIC_SECONDS_MAX``.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    with anyio.fail_after(TOPIC_SECONDS_MAX):
        await admin.start()
        try:
            # A broker that has just come up has none for a moment, and the client fails on that.
            await eventually(admin.describe_cluster, lambda seen: seen["controller_id"] >= 0)
            topic = NewTopic(name, partitions, 1, topic_configs=dict(configuration or {}))
            answer = await admin.create_topics([topic])
            for told in answer.topic_errors:
                if told[1] != 0:
                    raise for_code(told[1])(*told)
            await eventually(
                lambda: admin.describe_topics([name]), lambda seen: _is_led(seen, partitions)
            )
        finally:
            with anyio.CancelScope(shield=True):
                await admin.close()


async def delete_topics(bootstrap_servers: str, names: Iterable[str]) -> None:
    """Delete topics; those that are not there do not matter."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    with anyio.fail_after(TOPIC_SECONDS_MAX):
        await admin.start()
        try:
            await admin.delete_topics(list(names))
        finally:
            with anyio.CancelScope(shield=True):
                await admin.close()


def _is_led(described: list[dict[str, object]], partitions: int) -> bool:
    (topic,) = described
    parts = topic["partitions"]
    assert isinstance(parts, list)
    return len(parts) == partitions and all(part["leader"] >= 0 for part in parts)
