"""What a read_committed reader finds in the logs of a deployment, against what its stores say."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from huleedu.core.message import Header
from huleedu.core.topics import DEAD_LETTER_SUFFIX
from tests.faults.ground import rows
from tests.support.deployment import Deployment

BATCH_ONCE = (
    "BATCH_ESSAYS_REGISTERED",
    "BATCH_ESSAYS_READY",
    "BATCH_SPELLCHECK_INITIATE_COMMAND",
    "BATCH_PHASE_CONCLUDED",
)
"""What is said once about every batch that has run its course."""
QUIET_FETCHES = 100


class Record(NamedTuple):
    """What is kept of a record."""

    key: bytes
    event_id: str
    value: bytes


async def read_topics(
    bootstrap_servers: str, topics: Sequence[str], *, keep_values: bool = False
) -> Mapping[str, Sequence[Record]]:
    """Return all that can be read of each topic, in order within a partition.

    Raises ``AssertionError`` when the end of a log is not reached.
    """
    # Without a group it is given every partition of its topics.
    reader = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * 2**20,
    )
    found: dict[str, list[Record]] = {topic: [] for topic in topics}
    await reader.start()
    try:
        ends = await reader.end_offsets(list(reader.assignment()))
        quiet = 0
        while behind := await _behind(reader, ends):
            got = await reader.getmany(timeout_ms=200)
            quiet = 0 if got else quiet + 1
            assert quiet < QUIET_FETCHES, f"these logs cannot be read to the end: {behind}"
            for partition, records in got.items():
                for record in records:
                    headers = dict(record.headers)
                    event_id = (headers.get(Header.EVENT_ID.value) or b"").decode()
                    value = (record.value or b"") if keep_values else b""
                    found[partition.topic].append(Record(record.key or b"", event_id, value))
    finally:
        await reader.stop()
    return found


async def _behind(
    reader: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> Mapping[TopicPartition, int]:
    left = {}
    for partition, end in ends.items():
        position = await reader.position(partition)
        if position < end:
            left[partition] = end - position
    return left


def topics_of(deployment: Deployment) -> Mapping[str, str]:
    """Return event name → topic, of this deployment."""
    start = "KAFKA_TOPIC_"
    return {
        name.removeprefix(start): topic
        for name, topic in deployment.environment.items()
        if name.startswith(start)
    }


async def log_faults(
    bootstrap_servers: str,
    deployment: Deployment,
    data: Path,
    modules: Sequence[str],
    batch_ids: Sequence[str],
    once: Sequence[str] = BATCH_ONCE,
) -> list[str]:
    """Return what is wrong on the topics.

    Each row of the outboxes must be there once, and those of one topic and key in the order of the
    outbox; each batch must have one record of each kind that it has once; no dead letter may be
    there.
    """
    topics = topics_of(deployment)
    names = [*topics.values(), *(f"{name}{DEAD_LETTER_SUFFIX}" for name in topics.values())]
    seen = await read_topics(bootstrap_servers, names)
    return [
        *_against_outboxes(seen, data, modules),
        *_once_a_batch(seen, [topics[name] for name in once], batch_ids),
        *(
            f"{len(seen[name])} dead letters on {name}"
            for name in names
            if name.endswith(DEAD_LETTER_SUFFIX) and seen[name]
        ),
    ]


def _against_outboxes(
    seen: Mapping[str, Sequence[Record]], data: Path, modules: Sequence[str]
) -> list[str]:
    found: list[str] = []
    for module in modules:
        said: dict[tuple[str, bytes], list[str]] = defaultdict(list)
        for topic, key, event_id, sent_at in rows(
            data / f"{module}.db", "SELECT topic, key, event_id, sent_at FROM outbox ORDER BY id"
        ):
            assert isinstance(key, bytes)
            said[str(topic), key].append(str(event_id))
            if sent_at is None:
                found.append(f"{module} has not sent {event_id} for {topic}")
        for topic in {topic for topic, _ in said}:
            heard: dict[tuple[str, bytes], list[str]] = defaultdict(list)
            for record in seen[topic]:
                heard[topic, record.key].append(record.event_id)
            for where in {*heard, *(one for one in said if one[0] == topic)}:
                found += _difference(where, said.get(where, []), heard.get(where, []))
    return found


def _difference(where: tuple[str, bytes], said: list[str], heard: list[str]) -> list[str]:
    if said == heard:
        return []
    topic, key = where
    counts, wanted = Counter(heard), Counter(said)
    if counts == wanted:
        return [f"{topic}, key {key!r}: another order than in the outbox"]
    missing, more = sorted((wanted - counts).elements()), sorted((counts - wanted).elements())
    return [f"{topic}, key {key!r}: {len(missing)} lost {missing[:3]}, {len(more)} more {more[:3]}"]


def _once_a_batch(
    seen: Mapping[str, Sequence[Record]], topics: Sequence[str], batch_ids: Sequence[str]
) -> list[str]:
    found = []
    for topic in topics:
        counts = Counter(record.key.decode() for record in seen[topic])
        found += [
            f"batch {batch_id}: {counts[batch_id]} records on {topic}"
            for batch_id in batch_ids
            if counts[batch_id] != 1
        ]
    return found
