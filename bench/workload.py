"""Workload R (readiness aggregation): a seeded, reproducible stream of registrations and texts.

One logical stream over two topics, in the order in which it is produced.  Essays of about
``window`` neighbouring batches are interleaved; 2 % of the content events are repeated byte for
byte somewhat later (same event_id, some after their batch is complete); 1 % of them are placed
before their batch's registration.
"""

import hashlib
import json
import random
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

REGISTERED = "huleedu.batch.essays.registered.v1"
CONTENT = "huleedu.file.essay.content.ready.v1"
READY = "huleedu.els.batch.essays.ready.v1"
PARTITIONS = 6
ESSAYS = 30
T0 = datetime(2025, 5, 30, 8, 0, tzinfo=UTC)


class Event(NamedTuple):
    """One message; the topic is without any prefix, in the value too."""

    topic: str
    key: bytes
    value: bytes

    def under(self, prefix: str) -> "Event":
        """Return the same for topics whose names begin with ``prefix``; a topic is its type."""
        named = f'"event_type":"{self.topic}"'.encode()
        value = self.value.replace(named, f'"event_type":"{prefix}{self.topic}"'.encode(), 1)
        return Event(prefix + self.topic, self.key, value)


def batches(count: int, seed: int = 1) -> dict[str, dict[str, str]]:
    """Return batch id -> {essay id: storage id}: the expected outcome."""
    rng = random.Random(f"ids-{seed}")
    expected = {}
    for _ in range(count):
        batch_id = _uuid(rng)
        ids = [f"{batch_id[:8]}-e{k:02d}" for k in range(ESSAYS)]
        expected[batch_id] = {
            essay_id: hashlib.md5((batch_id + essay_id).encode()).hexdigest() for essay_id in ids
        }
    return expected


def stream(
    count: int, seed: int = 1, window: int = 200, repeated: float = 0.02, early: float = 0.01
) -> Sequence[Event]:
    """Return the events about ``count`` batches in the order of producing."""
    rng = random.Random(seed)
    rows: list[tuple[float, Event]] = []
    for i, (batch_id, essays) in enumerate(batches(count, seed).items()):
        key = batch_id.encode()
        registration = _registration(rng, i, batch_id, list(essays))
        rows.append((float(i), Event(REGISTERED, key, registration)))
        for essay_id, storage_id in essays.items():
            data = _content(rng, i, batch_id, essay_id, storage_id)
            at = i - rng.random() * 5 if rng.random() < early else i + rng.random() * window
            event = Event(CONTENT, key, _envelope(rng, i, CONTENT, "file-service", data))
            rows.append((at, event))
            if rng.random() < repeated:
                rows.append((at + rng.random() * window / 2, event))
    rows.sort(key=lambda row: row[0])
    return [event for _, event in rows]


def _registration(rng: random.Random, i: int, batch_id: str, essay_ids: list[str]) -> bytes:
    batch = {"entity_id": batch_id, "entity_type": "batch"}
    data = {
        "event": "batch.essays.registered",
        "batch_id": batch_id,
        "expected_essay_count": len(essay_ids),
        "essay_ids": essay_ids,
        "metadata": _metadata(i, batch, "batch.essays.registered"),
    }
    return _envelope(rng, i, REGISTERED, "batch-orchestrator-service", data)


def _content(
    rng: random.Random, i: int, batch_id: str, essay_id: str, storage_id: str
) -> Mapping[str, Any]:
    essay = {"entity_id": essay_id, "entity_type": "essay"}
    return {
        "event": "essay.content.ready",
        "essay_id": essay_id,
        "batch_id": batch_id,
        "content_storage_reference": {
            "references": {"original_essay": {"storage_id": storage_id, "path": ""}}
        },
        "entity": {**essay, "parent_id": batch_id},
        "metadata": _metadata(i, essay, "essay.content.ready"),
        "student_name": f"Student {rng.randrange(10_000)}",
        "student_email": f"s{rng.randrange(10_000)}@example.com",
    }


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _at(i: int) -> str:
    moment = T0 + timedelta(milliseconds=i)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _envelope(
    rng: random.Random, i: int, event_type: str, source: str, data: Mapping[str, Any]
) -> bytes:
    envelope = {
        "event_id": _uuid(rng),
        "event_type": event_type,
        "event_timestamp": _at(i),
        "source_service": source,
        "schema_version": 1,
        "correlation_id": _uuid(rng),
        "data": data,
    }
    return json.dumps(envelope, separators=(",", ":")).encode()


def _metadata(i: int, entity: Mapping[str, str], event: str) -> Mapping[str, Any]:
    return {"entity": entity, "timestamp": _at(i), "event": event}
