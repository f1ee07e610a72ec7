"""A broker of our own with topics that hold a workload, and what comes out of it."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.workload import PARTITIONS, READY, Event
from huleedu.core.enums import ProcessingEvent
from huleedu.core.topics import topic_name
from huleedu.els.handlers import HEARING
from tests.support.kafka_topics import create_topic, delete_topics

QUIET_MS = 1_000
"""How long nothing may come before what was said is taken for all."""


@dataclass(frozen=True)
class Outcome:
    """What a read_committed reader of the results saw."""

    finished_at: float
    """``anyio.current_time`` when every expected batch had a result."""
    results: Sequence[bytes]


@asynccontextmanager
async def loaded_topics(servers: str, prefix: str, events: Sequence[Event]) -> AsyncIterator[None]:
    """Make fresh topics under ``prefix`` with these events in them; delete them afterwards."""
    ready = topic_name(ProcessingEvent.BATCH_ESSAYS_READY)
    names = [prefix + topic for topic in (*HEARING.topics, ready)]
    for name in names:
        await create_topic(servers, name, partitions=PARTITIONS)
    try:
        await _load(servers, [event.under(prefix) for event in events])
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await delete_topics(servers, names)


async def _load(servers: str, events: Sequence[Event]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks=1, linger_ms=20, max_batch_size=256 * 1024
    )
    await producer.start()
    try:
        sent = [await producer.send(topic, value, key) for topic, key, value in events]
        await producer.flush()
        for one in sent:
            one.result()
    finally:
        await producer.stop()


class Results:
    """Reads the results as they become readable; to be entered before they come."""

    def __init__(self, servers: str, prefix: str) -> None:
        self._consumer = AIOKafkaConsumer(
            prefix + READY,
            bootstrap_servers=servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 2**20,
        )

    async def __aenter__(self) -> "Results":
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def next(self, count: int) -> float:
        """Wait for so many more results; return when the last was here (``current_time``)."""
        while True:
            got = await self._consumer.getmany(timeout_ms=1_000)
            count -= sum(len(records) for records in got.values())
            if count <= 0:
                return anyio.current_time()

    async def rest(self) -> None:
        """Read on until nothing comes any more."""
        while await self._consumer.getmany(timeout_ms=QUIET_MS):
            pass

    async def read(self, batch_count: int) -> Outcome:
        """Wait for results about so many batches, then for more that should not come."""
        results: list[bytes] = []
        about: set[bytes] = set()
        finished_at: float | None = None
        while True:
            got = await self._consumer.getmany(timeout_ms=QUIET_MS if finished_at else 50)
            several = [record for records in got.values() for record in records]
            about.update(record.key for record in several)
            results += [record.value for record in several]
            if finished_at is None and len(about) >= batch_count:
                finished_at = anyio.current_time()
            elif finished_at is not None and not several:
                return Outcome(finished_at, results)


def faults(results: Sequence[bytes], expected: Mapping[str, Mapping[str, str]]) -> Sequence[str]:
    """Return what is wrong: a batch without its one result, or with other essays or texts."""
    found: list[str] = []
    seen: set[str] = set()
    for value in results:
        data = json.loads(value)["data"]
        batch_id = data["batch_id"]
        if batch_id in seen:
            found.append(f"{batch_id} has a second result")
        seen.add(batch_id)
        texts = {one["essay_id"]: one["text_storage_id"] for one in data["ready_essays"]}
        if texts != expected.get(batch_id) or data["total_count"] != len(texts):
            found.append(f"{batch_id} has other essays than were sent")
    return [*found, *(f"{batch_id} has no result" for batch_id in expected.keys() - seen)]
