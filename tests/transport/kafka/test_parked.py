"""A message that waits holds up its own key alone, with a store and without."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from huleedu.core.errors import PeerUnavailable, Rejected, StoreUnavailable
from huleedu.core.message import Message
from huleedu.core.metrics import TRANSPORT_PARKED
from huleedu.store.database import Database
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.kafka import parking, settled_offsets, stateless_group
from huleedu.transport.protocol import Delivery, Subscription
from tests.support.consumers import PROCEED, note_effects, proceed, read_effects
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.bus import group, until
from tests.transport.kafka.bus import KafkaBus
from tests.transport.kafka.members import GROUP, Member, publish

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.timeout(120)]
STUCK = b"stuck"


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path, partitions=1)
    await bus.open()
    yield bus
    await bus.close()


class Trouble:
    """A consumer that fails on one key until it is healed, and notes what it handled."""

    def __init__(self, bus: KafkaBus, store: Database | None) -> None:
        self.handled: list[tuple[bytes, str]] = []
        self.fault: Callable[[], Exception] | None = lambda: PeerUnavailable("not this one")
        self.attempts = 0
        self._store = store
        self._inner = (
            None if store is None else StoreConsumer(store, note_effects, bus.platform, "module")
        )

    async def handle(self, delivery: Delivery) -> None:
        if self.fault is not None and any(self.is_stuck(one.key) for one in delivery.messages):
            self.attempts += 1
            raise self.fault()
        if self._inner is not None:
            await self._inner.handle(delivery)
        self.handled += [(one.key, one.event_id) for one in delivery.messages]

    def is_stuck(self, key: bytes) -> bool:
        return key == STUCK

    async def set_aside(self, delivery: Delivery, cause: Mapping[str, str]) -> None:
        if self._inner is not None:
            await self._inner.set_aside(delivery, cause)

    def subscription(self) -> Subscription:
        return replace(group(GROUP, self), concurrency=8)

    def of(self, key: bytes) -> list[str]:
        return [event for one, event in self.handled if one == key]


def messages(bus: KafkaBus, count: int) -> Sequence[Message]:
    """Return messages of one key, and of many others between them."""
    stuck = [proceed(bus.platform, STUCK.decode()) for _ in range(3)]
    others = [proceed(bus.platform, f"b{n % 400}") for n in range(count)]
    return [stuck[0], *others[: count // 2], stuck[1], *others[count // 2 :], stuck[2]]


def parked() -> float:
    return float(TRANSPORT_PARKED.labels(GROUP)._value.get())


@pytest.mark.parametrize(("has_store", "others"), [(True, 1_500), (False, 6_000)])
async def test_it_holds_up_its_own_key_alone(bus: KafkaBus, has_store: bool, others: int) -> None:
    """While one message waits, all others are handled, more of them than one fetch or the window of
    a consumer without a store holds; it is named.  Once it heals, it and those
    behind it are handled in order."""
    store = await bus.store("module") if has_store else None
    consumer, said = Trouble(bus, store), messages(bus, others)
    await publish(bus, said)
    member = Member(bus, consumer.subscription(), store)
    async with member.running():
        await until(lambda: len(consumer.handled) >= others)
        assert consumer.of(STUCK) == []
        assert "not this one" in " ".join(member.group.held_up())
        consumer.fault = None
        await until(lambda: len(consumer.handled) >= len(said))
        await until(lambda: not member.group.held_up())

    for key in (STUCK, b"b0", b"b17"):
        assert consumer.of(key) == [one.event_id for one in said if one.key == key]
    if store is not None:
        effects = [event for _, event in await store.read(read_effects)]
        assert sorted(effects) == sorted(one.event_id for one in said)
        assert parked() == 0


@pytest.mark.parametrize("has_store", [True, False])
async def test_what_waits_outlives_a_restart_and_what_is_done_does_not_come_again(
    bus: KafkaBus, has_store: bool
) -> None:
    """A process ends while a message waits: the next one handles that message and those behind it,
    in order, and nothing that was handled before."""
    store = await bus.store("module") if has_store else None
    before, after, said = Trouble(bus, store), Trouble(bus, store), messages(bus, 300)
    await publish(bus, said)
    async with Member(bus, before.subscription(), store).running():
        await until(lambda: len(before.handled) >= 300)
    after.fault = None
    async with Member(bus, after.subscription(), store).running():
        await until(lambda: len(after.handled) >= 3)
        last = proceed(bus.platform, "last")
        await publish(bus, [last])
        await until(lambda: (b"last", last.event_id) in after.handled)

    stuck = [one.event_id for one in said if one.key == STUCK]
    assert after.of(STUCK) == stuck
    assert len(after.handled) == len(stuck) + 1


async def test_what_turns_out_to_be_poison_goes_aside(bus: KafkaBus) -> None:
    """A message that waited and then proves to be wrong becomes a dead letter, and those behind it
    are handled."""
    store = await bus.store("module")
    consumer, said = Trouble(bus, store), messages(bus, 10)
    await publish(bus, said)
    async with Member(bus, consumer.subscription(), store).running():
        await until(lambda: parked() == 3 and consumer.attempts > 3)
        first = consumer.attempts

        def wrong_once() -> Exception:
            if consumer.attempts > first:
                consumer.fault = None
            return Rejected("against the rule")

        consumer.fault = wrong_once
        await until(lambda: len(consumer.of(STUCK)) == 2)
        rows = await store.read(
            lambda db: db.execute(
                "SELECT topic, key FROM outbox WHERE topic LIKE '%.dlq'"
            ).fetchall()
        )

    stuck = [one.event_id for one in said if one.key == STUCK]
    assert [(topic, bytes(key)) for topic, key in rows] == [(f"{PROCEED}.dlq", STUCK)]
    assert consumer.of(STUCK) == stuck[1:]


async def test_no_more_are_parked_than_may_be(
    bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where more wait than may be parked, their partition waits and says so; nothing is lost."""
    monkeypatch.setattr(parking, "PARKED_MAX", 2)
    store = await bus.store("module")
    consumer, said = Trouble(bus, store), messages(bus, 20)
    await publish(bus, said)
    member = Member(bus, consumer.subscription(), store)
    async with member.running():
        await until(lambda: "as many as may" in " ".join(member.group.troubles()))
        assert parked() == 2
        later = [proceed(bus.platform, "later") for _ in range(3)]
        await publish(bus, later)
        consumer.fault = None
        await until(lambda: len(consumer.of(b"later")) == len(later))
        await until(lambda: not member.group.troubles())

    effects = [event for _, event in await store.read(read_effects)]
    assert sorted(effects) == sorted(one.event_id for one in (*said, *later))


async def test_where_the_store_cannot_be_written_nothing_is_passed_over(
    bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk lets nothing be handled and nothing be parked: all waits, in order, and is
    handled once there is room."""
    store = await bus.store("module")
    write, is_full = store.write, True

    async def full(work):  # type: ignore[no-untyped-def]
        if is_full and consumer.attempts:
            raise StoreUnavailable("the disk is full")
        return await write(work)

    consumer, said = Trouble(bus, store), messages(bus, 20)
    consumer.fault = lambda: StoreUnavailable("the disk is full")
    monkeypatch.setattr(store, "write", full)
    await publish(bus, said)
    async with Member(bus, consumer.subscription(), store).running():
        await until(lambda: consumer.attempts >= 4)
        assert consumer.handled == []
        assert await store.read(_count_parked) == 0
        is_full, consumer.fault = False, None
        await until(lambda: len(consumer.handled) >= len(said))

    effects = [event for _, event in await store.read(read_effects)]
    assert effects == [one.event_id for one in said]


async def test_without_a_store_only_what_waits_is_counted(
    bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer without a store reads no further while as many messages wait as may, and goes on
    when one of them is handled."""
    monkeypatch.setattr(stateless_group, "WINDOW_MESSAGES_MAX", 3)
    consumer, said = Trouble(bus, None), messages(bus, 40)
    await publish(bus, said)
    async with Member(bus, consumer.subscription(), None).running():
        await until(lambda: len(consumer.handled) >= 40)
        await publish(bus, [proceed(bus.platform, "later")])
        assert consumer.of(b"later") == []
        consumer.fault = None
        await until(lambda: len(consumer.handled) >= len(said) + 1)


async def test_without_a_store_no_more_is_handled_than_can_be_kept(
    bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where what is handled lies so scattered among what waits that it cannot be noted beside the
    offset, no more is read and that is said; a restart brings little again, and all is handled."""
    monkeypatch.setattr(settled_offsets, "TEXT_BYTES_MAX", 60)
    monkeypatch.setattr(Trouble, "is_stuck", lambda _, key: key.startswith(STUCK))
    random = Random(1)
    said = [
        proceed(bus.platform, f"{STUCK.decode()}-{n}" if random.random() < 0.3 else f"b{n}")
        for n in range(600)
    ]
    before, after = Trouble(bus, None), Trouble(bus, None)
    await publish(bus, said)
    member = Member(bus, replace(before.subscription(), concurrency=2), None)
    async with member.running():
        await until(lambda: "as many as may" in " ".join(member.group.troubles()))
        assert 0 < len(before.handled) < len(said) / 3
    after.fault = None
    async with Member(bus, after.subscription(), None).running():
        await until(lambda: len({*before.handled, *after.handled}) == len(said))

    assert set(after.handled) >= {(one.key, one.event_id) for one in said if STUCK in one.key}


def _count_parked(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM parked").fetchone()[0])
