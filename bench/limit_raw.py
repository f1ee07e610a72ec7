"""The practical limit in Python: one fetch = one SQLite transaction = one produce = one commit.

WAL, synchronous=FULL, as in the program.  State, results and their deletion commit first, results
are produced from the outbox, offsets are committed last: a crash may repeat results.  It decodes
the few fields it needs, checks nothing, isolates no message and knows one kind of event.

Environment: KAFKA_BOOTSTRAP_SERVERS, BENCH_SCRATCH (a directory), BENCH_PREFIX (of topics and
group).  It runs until it is killed.
"""

import asyncio
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.workload import CONTENT, READY, REGISTERED

FETCH_MAX = 2_000
SCHEMA = """
pragma journal_mode=wal; pragma synchronous=full; pragma temp_store=memory;
pragma cache_size=-65536;
create table if not exists batch(batch_id text primary key, expected int,
  ready int not null default 0, done int not null default 0) without rowid;
create table if not exists slot(batch_id text, essay_id text, storage_id text,
  primary key(batch_id, essay_id)) without rowid;
create table if not exists outbox(batch_id text primary key, payload blob) without rowid;
create temp table touched(batch_id text primary key, expected int) without rowid;
"""
COUNT = """
insert into batch(batch_id, expected, ready)
select batch_id, expected, (select count(*) from slot s where s.batch_id = t.batch_id)
from touched t where true
on conflict do update set ready = excluded.ready,
  expected = coalesce(batch.expected, excluded.expected)
"""
COMPLETE = """
update batch set done = 1 where done = 0 and ready = expected
and batch_id in (select batch_id from touched) returning batch_id
"""


class Registered(msgspec.Struct):
    batch_id: str
    expected_essay_count: int
    essay_ids: list[str]


class Content(msgspec.Struct):
    batch_id: str
    essay_id: str
    content_storage_reference: dict[str, dict[str, dict[str, str]]]

    @property
    def storage_id(self) -> str:
        return next(iter(self.content_storage_reference["references"].values()))["storage_id"]


class RegisteredEnvelope(msgspec.Struct):
    event_id: str
    correlation_id: str
    data: Registered


class ContentEnvelope(msgspec.Struct):
    event_id: str
    correlation_id: str
    data: Content


_registered = msgspec.json.Decoder(RegisteredEnvelope)
_content = msgspec.json.Decoder(ContentEnvelope)
_encoder = msgspec.json.Encoder()

Out = Sequence[tuple[str, bytes]]


def result(topic: str, batch_id: str, texts: Iterable[tuple[str, str]]) -> bytes:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entity = {"entity_id": batch_id, "entity_type": "batch"}
    ready = [{"essay_id": essay_id, "text_storage_id": text} for essay_id, text in texts]
    data: dict[str, Any] = {
        "event": "batch.essays.ready",
        "batch_id": batch_id,
        "ready_essays": ready,
        "total_count": len(ready),
        "batch_entity": entity,
        "metadata": {"entity": entity, "timestamp": now, "event": "batch.essays.ready"},
    }
    return _encoder.encode(
        {
            "event_id": str(uuid.uuid5(uuid.NAMESPACE_URL, batch_id)),
            "event_type": topic,
            "event_timestamp": now,
            "source_service": "essay-lifecycle-service",
            "schema_version": 1,
            "correlation_id": None,
            "data": data,
        }
    )


class Store:
    def __init__(self, path: Path, prefix: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript(SCHEMA)
        self._prefix = prefix

    def absorb(self, messages: Sequence[tuple[str, bytes]], sent: Sequence[str]) -> Out:
        """Drop sent results, apply the fetch, put newly complete batches into the outbox."""
        db, many = self._db, self._db.executemany
        is_registered = (self._prefix + REGISTERED).__eq__
        registered = [_registered.decode(v).data for t, v in messages if is_registered(t)]
        contents = [_content.decode(v).data for t, v in messages if not is_registered(t)]
        expected = {one.batch_id: one.expected_essay_count for one in registered}
        touched = {one.batch_id for one in contents} | expected.keys()
        db.execute("begin immediate")
        many("delete from outbox where batch_id=?", [(batch_id,) for batch_id in sent])
        slots = [(one.batch_id, one.essay_id, one.storage_id) for one in contents]
        many("insert or ignore into slot values(?,?,?)", slots)
        many("insert into touched values(?,?)", [(b, expected.get(b)) for b in touched])
        db.execute(COUNT)
        ready = [row[0] for row in db.execute(COMPLETE)]
        db.execute("delete from touched")
        out = [(batch_id, self._result(batch_id)) for batch_id in ready]
        many("insert into outbox values(?,?)", out)
        db.execute("commit")
        return out

    def unsent(self) -> Out:
        return self._db.execute("select batch_id, payload from outbox").fetchall()

    def _result(self, batch_id: str) -> bytes:
        texts = self._db.execute(
            "select essay_id, storage_id from slot where batch_id=?", (batch_id,)
        )
        return result(self._prefix + READY, batch_id, texts.fetchall())


async def run(servers: str, prefix: str, store: Store) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, enable_idempotence=True, acks="all", linger_ms=2
    )
    consumer = AIOKafkaConsumer(
        prefix + REGISTERED,
        prefix + CONTENT,
        bootstrap_servers=servers,
        group_id=f"{prefix}limit-raw",
        group_instance_id="w1",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
        session_timeout_ms=6_000,
    )
    await producer.start()
    print("CONSUMER_START", flush=True)
    await consumer.start()
    out = store.unsent()
    while True:
        if out:
            sends = [await producer.send(prefix + READY, p, b.encode()) for b, p in out]
            await asyncio.gather(*sends)
            await consumer.commit()
        got = await consumer.getmany(timeout_ms=200, max_records=FETCH_MAX)
        messages = [(tp.topic, record.value) for tp, several in got.items() for record in several]
        if messages or out:
            out = await asyncio.to_thread(store.absorb, messages, [b for b, _ in out])
            if not out:
                await consumer.commit()


if __name__ == "__main__":
    topics_prefix = os.environ["BENCH_PREFIX"]
    scratch = Path(os.environ["BENCH_SCRATCH"])
    servers = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
    uvloop.run(run(servers, topics_prefix, Store(scratch / "limit-raw.db", topics_prefix)))
