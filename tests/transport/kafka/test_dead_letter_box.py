"""Looking after dead letters on a real broker, beside the programs that speak over it."""

import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.admin import DeleteGroupsRequest

from huleedu.core.errors import Conflict, NotFound, Rejected
from huleedu.core.message import Message
from huleedu.store.database import Database
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.dead_letter_box import DeadLetter, Wanted, settle
from huleedu.transport.failures import dead_letter, dead_letter_cause
from huleedu.transport.kafka.administration import administration
from huleedu.transport.kafka.dead_letter_box import KafkaDeadLetterBox
from huleedu.transport.kafka.retention import DAY_MS
from huleedu.transport.kafka.settlements import GROUP, Settlements
from tests.support.consumers import CANCELLED, PROCEED, note_effects, proceed, read_effects
from tests.support.eventually import eventually
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.bus import group, say, until_sent
from tests.transport.kafka.bus import TOPICS, KafkaBus

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

ALL = Wanted(settled_too=True)
BATCHES = [f"b{number}" for number in range(12)]


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path)
    await bus.open()
    yield bus
    await bus.close()


@pytest.fixture
async def box(bus: KafkaBus) -> AsyncIterator[KafkaDeadLetterBox]:
    async with opened(bus) as box:
        yield box


def opened(bus: KafkaBus):  # type: ignore[no-untyped-def]
    return KafkaDeadLetterBox.opened(bus.connection, bus.platform, TOPICS)


async def letters_of(box: KafkaDeadLetterBox, wanted: Wanted = ALL) -> list[DeadLetter]:
    async with aclosing(box.letters(wanted)) as letters:
        return [letter async for letter in letters]


async def until_waiting(box: KafkaDeadLetterBox, count: int) -> list[DeadLetter]:
    """Return those that wait, once there are so many."""
    return await eventually(
        partial(letters_of, box, Wanted()), lambda letters: len(letters) == count
    )


class Module:
    """A group that fails on some batches, and one that hears the same and never fails."""

    def __init__(self, bus: KafkaBus, failing: Iterable[str]) -> None:
        self.bus = bus
        self.failing = set(failing)

    async def effects(self, name: str) -> list[str]:
        store = await self.bus.store(name)
        return sorted(batch for batch, _ in await store.read(read_effects))

    @asynccontextmanager
    async def running(self, sender: Database) -> AsyncIterator[None]:
        groups, stores = [], []
        for name in ("g", "h"):
            store = await self.bus.store(name)
            consumer = StoreConsumer(store, partial(self._apply, name), self.bus.platform, name)
            groups.append(replace(group(name, consumer), store=store))
            stores.append(store)
        async with self.bus.running(groups, [sender, *stores]):
            yield

    def _apply(self, name: str, connection, heard, now: datetime):  # type: ignore[no-untyped-def]
        if name == "g" and any(one.batch_id in self.failing for one in heard):
            raise Rejected("against the rule")
        return note_effects(connection, heard, now)


async def put(bus: KafkaBus, letters: Sequence[Message]) -> None:
    """Have these dead letters on the broker."""
    sender = await bus.store("sender")
    await say(sender, bus, letters)
    async with bus.running([], [sender]):
        await until_sent(sender)


def letter(bus: KafkaBus, batch: str, name: str = "g", topic: str = PROCEED) -> Message:
    message = replace_topic(proceed(bus.platform, batch), topic)
    fault, now = Rejected("against the rule"), bus.platform.clock.now()
    return dead_letter(message, dead_letter_cause(fault, message, name, 1, now))


def replace_topic(message: Message, topic: str) -> Message:
    return Message(topic, message.key, message.value, message.headers)


def batches(letters: Iterable[DeadLetter]) -> list[str]:
    return sorted(str(one.batch_id) for one in letters)


async def test_what_is_replayed_has_its_effect_once(bus: KafkaBus, box: KafkaDeadLetterBox) -> None:
    """Replayed too early a message fails again and waits again, with its first time and all its
    attempts; replayed when the cause is mended it has its effect once, whoever else hears it, and
    replaying everything that waits a second time finds nothing."""
    sender = await bus.store("sender")
    module = Module(bus, BATCHES[::3])
    await say(sender, bus, [proceed(bus.platform, batch) for batch in BATCHES])
    async with module.running(sender):
        first = await until_waiting(box, 4)
        assert await box.replay(first) == 4
        second = await until_waiting(box, 4)
        module.failing = set()
        assert await box.replay(first) == 0  # as settled by now
        assert await box.replay(second) == 4
        await eventually(partial(module.effects, "g"), lambda found: len(found) >= len(BATCHES))
        await bus.until_handled(sender)

        assert await letters_of(box, Wanted()) == []
        assert await module.effects("g") == sorted(BATCHES)
        assert await module.effects("h") == sorted(BATCHES)
    assert batches(first) == batches(second) == sorted(BATCHES[::3])
    started = {one.batch_id: one.cause("first-failed-at") for one in first}
    for one in second:
        assert one.cause("first-failed-at") == started[one.batch_id]
        assert one.cause("replays") == "1"
        assert int(one.cause("attempts") or 0) >= 2
    # Partition and offset of where it failed are there from the first time on.
    assert max(len(o.message.headers) for o in second) <= len(first[0].message.headers) + 1


async def test_a_replay_to_every_group_reaches_them_after_one_to_a_single_group(
    bus: KafkaBus, box: KafkaDeadLetterBox
) -> None:
    """The two have ids of their own, and every group handles what was replayed to everyone."""
    sender = await bus.store("sender")
    module = Module(bus, ["b1"])
    await say(sender, bus, [proceed(bus.platform, "b1")])
    async with module.running(sender):
        (waiting,) = await until_waiting(box, 1)
        module.failing = set()
        assert await box.replay([waiting]) == 1
        (settled,) = await letters_of(box)
        assert await box.replay([settled], to_everyone=True) == 1
        await eventually(partial(module.effects, "g"), lambda found: len(found) == 2)
        await eventually(partial(module.effects, "h"), lambda found: len(found) == 2)
    read = await bus.read(PROCEED)

    assert len({one.event_id for one in read}) == len(read) == 3


async def test_the_same_dead_letter_replayed_again_says_the_same(
    bus: KafkaBus, box: KafkaDeadLetterBox
) -> None:
    """Named once more, a replayed one is published again under the id of its first replay, with
    key and value as they were."""
    await put(bus, [letter(bus, "b1")])
    (seen,) = await letters_of(box)
    await box.replay([seen])
    (again,) = await letters_of(box, Wanted(ids=frozenset({seen.id}), settled_too=True))
    assert again.settlement == "settled"
    await box.replay([again])
    first, second = await bus.read(PROCEED)

    assert (first.key, first.value, first.headers) == (second.key, second.value, second.headers)
    assert (first.key, first.value) == (seen.message.key, seen.message.value)
    assert first.event_id != seen.message.event_id


async def test_what_is_settled_here_and_there_is_remembered(
    bus: KafkaBus, box: KafkaDeadLetterBox
) -> None:
    """Each dead letter is settled for itself, wherever it lies between others that wait; whoever
    looks next sees the rest, and once all are settled no partition has a note left."""
    await put(bus, [letter(bus, batch, name) for batch in BATCHES for name in ("g", "h")])
    of_h = await letters_of(box, Wanted(group="h"))
    assert await box.discard(of_h) == len(BATCHES)
    async with opened(bus) as another:
        left = await letters_of(another, Wanted())
        assert batches(left) == sorted(BATCHES)
        assert {one.group for one in left} == {"g"}
        assert await another.discard(left[::2]) == 6
        assert await another.replay(left) == 6  # the others

    assert await letters_of(box, Wanted()) == []
    assert len(await letters_of(box)) == 2 * len(BATCHES)
    partitions = [TopicPartition(f"{PROCEED}.dlq", number) for number in range(3)]
    async with (
        administration(bus.connection) as admin,
        Settlements.opened(bus.connection, admin, bus.platform.clock) as settlements,
    ):
        kept = await settlements.within_logs(partitions)
    assert {one.ranges for one in kept.values()} == {()}


async def test_filters_and_ids_find_what_they_name(bus: KafkaBus, box: KafkaDeadLetterBox) -> None:
    """Topic, id and batch lead to the dead letters that they name; a topic that is not there is
    told, an id that is not there finds nothing."""
    other = letter(bus, "b1", topic=CANCELLED)
    await put(bus, [*(letter(bus, batch) for batch in BATCHES), other])
    everything = await letters_of(box)

    (found,) = await letters_of(box, Wanted(topic=f"{CANCELLED}.dlq"))
    assert found.id.startswith(f"{CANCELLED}.dlq/")
    assert await letters_of(box, Wanted(ids=frozenset({everything[3].id}))) == [everything[3]]
    assert batches(await letters_of(box, Wanted(topic=PROCEED, batch_id="b7"))) == ["b7"]
    for nothing in ("17", f"{CANCELLED}.dlq/0/999", f"{CANCELLED}.dlq/77/0", "//", ""):
        assert await letters_of(box, Wanted(ids=frozenset({nothing}))) == []
    with pytest.raises(NotFound, match="no topic nonsense"):
        await letters_of(box, Wanted(topic="nonsense"))


async def test_a_topic_made_anew_has_nothing_settled(
    bus: KafkaBus, box: KafkaDeadLetterBox
) -> None:
    """What is noted beyond the end of a log is about another one, and settles nothing."""
    await put(bus, [letter(bus, "b1") for _ in range(5)])
    assert await box.discard(await letters_of(box)) == 5
    await bus.open()
    await put(bus, [letter(bus, "b1")])
    async with opened(bus) as another:
        fresh = await letters_of(another, Wanted())
        assert batches(fresh) == ["b1"]
        assert await another.discard(fresh) == 1
        assert await letters_of(another, Wanted()) == []


async def test_nothing_is_published_that_could_not_be_noted(
    bus: KafkaBus, box: KafkaDeadLetterBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Kafka has no room for the note, the replay is refused before it begins."""
    await put(bus, [letter(bus, "b1") for _ in range(6)])
    monkeypatch.setattr("huleedu.transport.kafka.settled_offsets.TEXT_BYTES_MAX", 5)
    seen = await letters_of(box)
    with pytest.raises(Conflict, match="oldest ones first"):
        await box.replay(seen[1::2])
    told: list[int] = []
    wanted = Wanted(ids=frozenset(one.id for one in seen))

    assert await bus.read(PROCEED) == []
    assert await settle(box, wanted, box.replay, told.append) == told[-1] == 6  # in one piece


async def test_what_others_put_there_is_found_too(bus: KafkaBus, box: KafkaDeadLetterBox) -> None:
    """A record without key, cause or a single byte, and with a header that is null, is one like
    any other."""
    producer = AIOKafkaProducer(**bus.connection.client_options())
    await producer.start()
    try:
        headers = [("owner", None), ("dead-letter-attempts", b"\xff")]
        await producer.send_and_wait(f"{PROCEED}.dlq", b"", partition=0, headers=headers)
    finally:
        await producer.stop()
    (found,) = await letters_of(box)

    assert (found.message.key, found.message.value, found.group) == (b"", b"", None)
    assert found.message.headers["owner"] == ""
    assert await box.replay([found]) == 1
    (again,) = await bus.read(PROCEED)
    assert (again.value, again.headers["dead-letter-attempts"]) == (b"", "0")


async def test_settled_for_as_long_as_the_letters_are_kept(bus: KafkaBus) -> None:
    """The broker is told to remember what is settled past the end of the letters' own time."""
    await put(bus, [letter(bus, "b1")])
    async with KafkaDeadLetterBox.opened(bus.connection, bus.platform, TOPICS, 90 * DAY_MS) as box:
        assert await box.discard(await letters_of(box, Wanted())) == 1

    remembered = await eventually(partial(_remembered_ms, bus), bool)
    assert 90 * DAY_MS < remembered[-1] < 180 * DAY_MS


async def test_when_what_is_settled_is_forgotten_all_is_shown_again(
    bus: KafkaBus, box: KafkaDeadLetterBox
) -> None:
    """A broker that lost the offsets hides no dead letter: the settled ones wait again, and can
    be settled anew."""
    await put(bus, [letter(bus, batch) for batch in BATCHES])
    assert await box.discard((await letters_of(box))[::2]) == 6
    seen_before = await letters_of(box, Wanted())
    await _forget_what_is_settled(bus)

    assert batches(await letters_of(box, Wanted())) == sorted(BATCHES)
    assert await box.discard(seen_before) == 6
    assert len(await letters_of(box, Wanted())) == 6
    assert await box.discard(await letters_of(box, Wanted())) == 6
    assert await letters_of(box, Wanted()) == []


async def _forget_what_is_settled(bus: KafkaBus) -> None:
    client = AIOKafkaClient(**bus.connection.client_options())
    await client.bootstrap()
    try:
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, GROUP)
        answer = await client.send(coordinator, DeleteGroupsRequest([GROUP]))
    finally:
        await client.close()
    assert answer.results == [(GROUP, 0)]


async def _remembered_ms(bus: KafkaBus) -> list[int]:
    """Return for how long the broker keeps each offset of the group, in the order of commits."""
    # Its own log of offsets; a value of the version 1 says when the offset ends, others do not.
    reader = AIOKafkaConsumer(
        "__consumer_offsets", auto_offset_reset="earliest", **bus.connection.client_options()
    )
    found: list[int] = []
    await reader.start()
    try:
        ends = await reader.end_offsets(reader.assignment())
        while any([await reader.position(tp) < end for tp, end in ends.items()]):
            for records in (await reader.getmany(timeout_ms=200)).values():
                for record in records:
                    value = record.value or b""
                    if GROUP.encode() in record.key and value[:2] == b"\x00\x01":
                        committed, ends_at = struct.unpack(">qq", value[-16:])
                        found.append(ends_at - committed)
    finally:
        await reader.stop()
    return found
