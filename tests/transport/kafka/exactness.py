"""What a read_committed reader saw of numbered messages, against what was said.

It must see each number once, and those of one topic and key in the order in which they were said.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import anyio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

Numbers = dict[tuple[str, bytes], list[int]]
"""Topic and key → the numbers, in order."""


@dataclass
class Seen:
    """What a read_committed reader saw, against what was said."""

    said: int
    missing: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    out_of_order: list[tuple[str, bytes, int]] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        return not (self.missing or self.repeated or self.out_of_order)

    def __str__(self) -> str:
        return (
            f"{self.said} rows: {len(self.missing)} missing {self.missing[:10]}, "
            f"{len(self.repeated)} repeated {self.repeated[:10]}, "
            f"{len(self.out_of_order)} out of order {self.out_of_order[:5]}"
        )


def judged(said: Numbers, seen: Numbers) -> Seen:
    """Compare what was said with what was seen, each in order for a topic and key."""
    result = Seen(sum(len(numbers) for numbers in said.values()))
    for where in said.keys() | seen.keys():
        wanted, got = said.get(where, []), seen.get(where, [])
        counts = Counter(got)
        result.missing += [number for number in wanted if not counts[number]]
        unknown = counts.keys() - set(wanted)
        result.repeated += [number for number in counts if counts[number] > 1 or number in unknown]
        once = list(dict.fromkeys(got))
        result.out_of_order += [
            (*where, number) for earlier, number in pairwise(once) if number < earlier
        ]
    return result


async def read_all(bootstrap_servers: str, partitions: Sequence[TopicPartition]) -> Numbers:
    """Return what a read_committed reader sees in all of these partitions."""
    # It reads until a record that is put behind all others: whatever is before it, it has seen.
    await _put_last_records(bootstrap_servers, partitions)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    seen: Numbers = {}
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        waiting = set(partitions)
        with anyio.fail_after(60):
            while waiting:
                fetched = await consumer.getmany(timeout_ms=200)
                for partition, records in fetched.items():
                    for record in records:
                        if record.key == b"last":
                            waiting.discard(partition)
                            continue
                        key = (record.topic, record.key)
                        seen.setdefault(key, []).append(int(record.value))
    finally:
        await consumer.stop()
    return seen


async def _put_last_records(bootstrap_servers: str, partitions: Sequence[TopicPartition]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
    await producer.start()
    try:
        for topic, number in partitions:
            await producer.send_and_wait(topic, b"", b"last", partition=number)
    finally:
        await producer.stop()
