"""Other programs that speak the contract: plain JSON, not one line of ours in what they say."""

import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

MINIMAL = Path(__file__).parents[1] / "wire" / "minimal"
OLD_MOMENT = "2026-01-12T10:00:00.123456+02:00"
READ_SECONDS = 60.0

Json = dict[str, Any]
Dialect = Callable[[Json], Json]

# The maps of the contract: a further key is a further entry, not an unknown field.
_MAPS = ("references", "error_info")
_OPTIONAL: Mapping[str, Sequence[str]] = {
    "essay.content.ready": ("student_name", "student_email", "file_name"),
    "batch.essays.ready": ("ready_essays",),
    "essay.spellcheck.result.received": ("corrections_made",),
}


def terse(spoken: Json) -> Json:
    """As pinned: nothing that is optional, times in +02:00, fields in an order of its own."""
    return spoken


def talkative(spoken: Json) -> Json:
    """The same with unknown fields everywhere, null for what is optional, UUIDs in capitals."""
    told = _grown(spoken)
    told["event_id"] = told["event_id"].upper()
    told["correlation_id"] = str(uuid.uuid4()).upper()
    told["data_schema_uri"] = None
    said = told["data"]
    said.update(dict.fromkeys(_OPTIONAL.get(said.get("event") or said["event_name"], ())))
    for entity in ("batch_entity", "entity", "entity_ref"):
        if entity in said:
            said[entity]["parent_id"] = None
    for metadata in ("metadata", "system_metadata"):
        if metadata in said:
            said[metadata] |= dict.fromkeys(("processing_stage", "started_at", "completed_at"))
    told = json.loads(json.dumps(told).replace(OLD_MOMENT, "2026-01-12T08:00:00+00:00"))
    return dict(reversed(told.items()))


def _grown(part: Any) -> Any:
    if isinstance(part, list):
        return [_grown(one) for one in part]
    if not isinstance(part, dict):
        return part
    told = {name: _grown(value) for name, value in part.items()}
    for name in _MAPS:
        if name in told:
            told[name] = {key: _grown(value) for key, value in part[name].items()}
    is_map = all(isinstance(value, dict) and "storage_id" in value for value in part.values())
    return told if is_map else {"zz_new": [1, {"a": None}], **told}


class Foreigner:
    """Says and hears events on a broker, without headers, in a dialect.

    ``topics``: event value → topic.
    """

    def __init__(
        self, producer: AIOKafkaProducer, topics: Mapping[str, str], dialect: Dialect
    ) -> None:
        self._producer = producer
        self._topics = topics
        self._dialect = dialect

    @classmethod
    @asynccontextmanager
    async def speaking(
        cls, bootstrap_servers: str, topics: Mapping[str, str], dialect: Dialect
    ) -> AsyncIterator["Foreigner"]:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
        await producer.start()
        try:
            yield cls(producer, topics, dialect)
        finally:
            await producer.stop()

    def words(self, event: str, **data: Any) -> Json:
        """Return the pinned minimal event about something else: ``data`` replaces its fields."""
        spoken: Json = json.loads((MINIMAL / f"{event}.json").read_text())
        spoken |= {"event_id": str(uuid.uuid4()), "event_type": self._topics[event]}
        spoken["data"] |= data
        return self._dialect(spoken)

    async def say(self, event: str, key: str, **data: Any) -> None:
        await self.send(event, key, json.dumps(self.words(event, **data)).encode())

    async def send(self, event: str, key: str, value: bytes) -> None:
        await self._producer.send_and_wait(self._topics[event], value, key.encode())


async def heard(
    bootstrap_servers: str, topic: str, wanted: int, means: Callable[[ConsumerRecord], bool]
) -> list[ConsumerRecord]:
    """Return so many records of a topic that are meant, once they can be read.

    Raises ``TimeoutError`` when they do not come.
    """
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    found: list[ConsumerRecord] = []
    await consumer.start()
    try:
        with anyio.fail_after(READ_SECONDS):
            while len(found) < wanted:
                fetched = await consumer.getmany(timeout_ms=200)
                found += [one for several in fetched.values() for one in several if means(one)]
    finally:
        await consumer.stop()
    return found
