"""Row 8: one message in every hundred cannot be handled, in five ways."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import anyio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.loaded_broker import faults as result_faults
from bench.workload import CONTENT, batches, stream
from huleedu.core.topics import dead_letter_topic
from huleedu.transport.kafka.record import CUT_HEADER
from tests.faults.ground import (
    Ground,
    Outcome,
    Told,
    count,
    deployed,
    new_prefix,
    stop_roles,
    tell,
    until_count,
)
from tests.faults.log_check import read_topics, topics_of

ONE_IN = 100
STUCK_SECONDS = 240.0
REQUEST_BYTES_MAX = 1_100_000
ALMOST_ALL_BYTES = 990_000
"""What fits into a dead letter whole, its cause beside it."""
BROKER_BYTES = 1_048_000
"""As much as a broker takes, without room for a cause: its dead letter is cut, and says so."""


class Poison(NamedTuple):
    """A record that nobody can handle."""

    kind: str
    event_id: str
    key: bytes
    value: bytes | None


def poison(number: int, topic: str) -> Poison:
    """Return the next one; its kinds take turns."""
    kind, value = _KINDS[number % len(_KINDS)]
    return Poison(kind, f"poison-{number}", f"p{number}".encode(), value(topic))


def _wrong_schema(topic: str) -> bytes:
    envelope = {
        "event_id": "00000000-0000-4000-8000-000000000000",
        "event_type": topic,
        "event_timestamp": "2026-01-12T08:00:00Z",
        "source_service": "somebody",
        "data": {"batch_id": 7},
    }
    return json.dumps(envelope).encode()


_KINDS: Sequence[tuple[str, Callable[[str], bytes | None]]] = (
    ("bad JSON", lambda _: b'{"event_id": '),
    ("wrong schema", _wrong_schema),
    ("100,000 brackets", lambda _: b"[" * 100_000),
    ("990,000 bytes", lambda _: b"x" * ALMOST_ALL_BYTES),
    ("1 MiB", lambda _: b"x" * BROKER_BYTES),
    ("null", lambda _: None),
)


async def poisoned(ground: Ground, batch_count: int) -> Outcome:
    """Put one poison between every hundred events of so many batches, for an els-worker."""
    seed, servers = ground.chance.randrange(2**31), ground.broker.bootstrap_servers
    prefix = new_prefix()
    async with deployed(ground, "poison", prefix) as (deployment, data):
        topic = topics_of(deployment)["ESSAY_CONTENT_READY"]
        assert topic == prefix + CONTENT
        worker = deployment.start("els-worker")
        await Told(worker, ever=True).until("partitions_assigned")
        events = [event.under(prefix) for event in stream(batch_count, seed)]
        poisons: list[Poison] = []
        producer = AIOKafkaProducer(
            bootstrap_servers=servers, max_request_size=REQUEST_BYTES_MAX, linger_ms=5
        )
        await producer.start()
        try:
            for number, (to, key, value) in enumerate(events, 1):
                await producer.send(to, value, key)
                if number % ONE_IN == 0:
                    poisons.append(poison(len(poisons), topic))
                    await _send(producer, topic, poisons[-1])
            await producer.flush()
        finally:
            await producer.stop()
        ready = topics_of(deployment)["BATCH_ESSAYS_READY"]
        query = "SELECT count(*) FROM outbox WHERE topic = ? AND sent_at IS NOT NULL"
        store = data / "els.db"
        seconds = await until_count(lambda: count(store, query, ready), batch_count, STUCK_SECONDS)
        letters = dead_letter_topic(topic)
        await until_count(lambda: count(store, query, letters), len(poisons), STUCK_SECONDS)
        broken = stop_roles(deployment)
        seen = await read_topics(servers, [ready], keep_values=True)
        broken += result_faults([one.value for one in seen[ready]], batches(batch_count, seed))
        broken += _letter_faults(await _letters(servers, letters), poisons)
    tell(f"{len(events):,} events and {len(poisons)} poisons, done after {seconds:.1f} s")
    kinds = Counter(one.kind for one in poisons)
    return Outcome(
        f"{len(poisons)} poisons among {len(events):,} events",
        [
            ", ".join(f"{number} × {kind}" for kind, number in kinds.items()),
            f"{batch_count} of {batch_count} batches ready; one dead letter each",
        ],
        broken,
    )


async def _send(producer: AIOKafkaProducer, topic: str, one: Poison) -> None:
    headers = [("event-id", one.event_id.encode()), ("owner", b"somebody")]
    await producer.send_and_wait(topic, one.value, one.key, headers=headers)


class Letter(NamedTuple):
    """A dead letter as it is on the broker."""

    key: bytes
    value: bytes
    headers: Mapping[str, str]


async def _letters(servers: str, topic: str) -> Mapping[str, Sequence[Letter]]:
    reader = AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    found: dict[str, list[Letter]] = defaultdict(list)
    await reader.start()
    try:
        ends = await reader.end_offsets(list(reader.assignment()))
        with anyio.fail_after(STUCK_SECONDS):
            while any([await reader.position(tp) < end for tp, end in ends.items()]):
                for records in (await reader.getmany(timeout_ms=200)).values():
                    for record in records:
                        headers = {name: value.decode() for name, value in record.headers}
                        letter = Letter(record.key or b"", record.value or b"", headers)
                        found[headers["event-id"]].append(letter)
    finally:
        await reader.stop()
    return found


def _letter_faults(found: Mapping[str, Sequence[Letter]], poisons: Sequence[Poison]) -> list[str]:
    broken = [f"{name} is a dead letter" for name in found.keys() - {p.event_id for p in poisons}]
    for one in poisons:
        letters = found.get(one.event_id, [])
        if len(letters) != 1:
            broken.append(f"{len(letters)} dead letters of {one.event_id} ({one.kind})")
            continue
        broken += [f"{one.event_id} ({one.kind}): {what}" for what in _unlike(letters[0], one)]
    return broken


def _unlike(letter: Letter, one: Poison) -> list[str]:
    wanted, cut_from = one.value or b"", letter.headers.get(CUT_HEADER)
    found = []
    if letter.key != one.key:
        found.append("another key")
    if letter.headers.get("owner") != "somebody":
        found.append("its headers are lost")
    if "dead-letter-error-class" not in letter.headers:
        found.append("its cause is not told")
    if len(wanted) <= ALMOST_ALL_BYTES:
        if letter.value != wanted or cut_from is not None:
            found.append("another value")
    elif cut_from != str(len(wanted)) or not wanted.startswith(letter.value):
        found.append("cut without saying so")
    elif len(letter.value) < ALMOST_ALL_BYTES:
        found.append(f"cut to {len(letter.value)} bytes")
    return found
