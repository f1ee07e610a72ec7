"""What a read_committed reader sees on the topics of a deployment, after the crashes."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import anyio
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from huleedu.core.enums import ProcessingEvent
from huleedu.core.topics import TOPICS, dead_letter_topic

READY = ProcessingEvent.BATCH_ESSAYS_READY
ONE_A_BATCH = (
    ProcessingEvent.BATCH_ESSAYS_REGISTERED,
    READY,
    ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND,
    ProcessingEvent.BATCH_PHASE_CONCLUDED,
)
ONE_AN_ESSAY = (
    ProcessingEvent.ESSAY_CONTENT_READY,
    ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED,
    ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED,
)
_RESULTS = TOPICS[ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED].name
READ_SECONDS_MAX = 60.0


@dataclass
class Said:
    """What a reader has seen."""

    counted: Mapping[str, Counter[str]]
    """Topic without prefix → batch id → number of events, of what every batch has; dead letters."""
    results: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(batch id, essay id) → number of records on the topic of results.

    The checker has no store.  Killed after it published a result and before it committed the offset
    of the request, it publishes the result again, under the same event id: that counts once.
    """
    _result_ids: set[str] = field(default_factory=set)

    def take(self, topic: str, record: ConsumerRecord) -> None:
        """Count a record of this topic."""
        batch_id = _batch_of(record)
        if topic == _RESULTS:
            envelope = json.loads(record.value)
            self.results[batch_id, envelope["data"]["entity_ref"]["entity_id"]] += 1
            if envelope["event_id"] in self._result_ids:
                return
            self._result_ids.add(envelope["event_id"])
        self.counted[topic][batch_id] += 1


async def said(bootstrap_servers: str, prefix: str) -> Said:
    """Return what stands on the topics with this prefix.

    Raises ``TimeoutError`` when the logs cannot be read to the end.
    """
    names = [TOPICS[event].name for event in (*ONE_A_BATCH, *ONE_AN_ESSAY)]
    names += [dead_letter_topic(topic.name) for topic in TOPICS.values()]
    topics = [prefix + name for name in names]
    # Without a group it is given every partition of its topics.
    reader = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    with anyio.fail_after(READ_SECONDS_MAX):
        await reader.start()
        try:
            return await _read(reader, topics, prefix)
        finally:
            with anyio.CancelScope(shield=True):
                await reader.stop()


async def _read(reader: AIOKafkaConsumer, topics: Sequence[str], prefix: str) -> Said:
    partitions = sorted(reader.assignment())
    missing = set(topics) - {tp.topic for tp in partitions}
    assert not missing, f"these topics have no partitions: {missing}"
    ends = await reader.end_offsets(partitions)
    seen = Said({topic.removeprefix(prefix): Counter() for topic in topics})
    # Marks of transactions have offsets too, so only the position tells when the end is reached.
    while unread := [tp for tp in partitions if await reader.position(tp) < ends[tp]]:
        for tp, records in (await reader.getmany(*unread, timeout_ms=200)).items():
            for record in records:
                seen.take(tp.topic.removeprefix(prefix), record)
    return seen


def _batch_of(record: ConsumerRecord) -> str:
    """Return which batch it is about, as any reader of JSON finds out; else its key."""
    try:
        data = json.loads(record.value)["data"]
    except (ValueError, KeyError, TypeError):
        return str(record.key.decode())
    entity = data.get("entity_ref") or {}
    named = data.get("batch_id") or entity.get("parent_id") or entity.get("entity_id")
    return str(named or record.key.decode())


def topic_faults(seen: Mapping[str, Counter[str]], batches: Mapping[str, int]) -> Sequence[str]:
    """Return what is missing, said twice, of no known batch, or dead."""
    faults = []
    for event in (*ONE_A_BATCH, *ONE_AN_ESSAY):
        topic = TOPICS[event].name
        for batch_id in sorted(batches.keys() | seen[topic].keys()):
            count = seen[topic][batch_id]
            expected = 1 if event in ONE_A_BATCH else batches.get(batch_id, 0)
            if count != expected or batch_id not in batches:
                known = "" if batch_id in batches else ", of a batch that no client knows"
                faults.append(f"batch {batch_id}: {count} records on {topic}{known}")
    letters = [dead_letter_topic(topic.name) for topic in TOPICS.values()]
    faults += [
        f"{seen[topic].total()} dead letters on {topic}, though every message was valid"
        for topic in letters
        if seen[topic]
    ]
    return faults
