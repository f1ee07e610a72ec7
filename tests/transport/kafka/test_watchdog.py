"""A consumer that has work and does none is noticed, told of, and made anew."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client import REGISTRY

from huleedu.core.errors import TaskDied
from huleedu.transport.kafka.consumer_times import ConsumerTimes
from huleedu.transport.kafka.stalls import RESTARTS_MAX
from huleedu.transport.kafka.transport import KafkaTransport
from tests.support.consumers import PROCEED, Recorder, proceed, read_effects
from tests.support.eventually import eventually
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.bus import group, raw, until
from tests.transport.kafka.bus import KafkaBus
from tests.transport.kafka.members import (
    GROUP,
    FrozenFromTheStart,
    Member,
    SilentAtFirst,
    publish,
    with_effects,
)

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]
QUICK_SECONDS = 2.0


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path)
    await bus.open()
    yield bus
    await bus.close()


def _restarts() -> dict[str, float]:
    return {
        sample.labels["reason"]: sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "huleedu_transport_consumer_restarts_total"
        and sample.labels["group"] == GROUP
    }


async def _effects(bus: KafkaBus) -> Sequence[str]:
    store = await bus.store("module")
    return [event for _, event in await store.read(read_effects)]


async def test_a_frozen_consumer_is_told_of_and_made_anew(bus: KafkaBus) -> None:
    """The library stops fetching: readiness turns red while messages wait, the consumer joins
    again and is counted, every message has its effect once, and all is well again."""
    store, before = await bus.store("module"), _restarts()
    said = [proceed(bus.platform, f"b{n}") for n in range(20)]
    member = Member(bus, with_effects(bus, store), store, QUICK_SECONDS)
    async with member.running():
        await publish(bus, said[:10])
        await eventually(lambda: _effects(bus), lambda seen: len(seen) >= 10)
        member.freeze()
        await publish(bus, said[10:])
        await until(lambda: bool(member.group.troubles()))
        (told,) = member.group.troubles()
        await eventually(lambda: _effects(bus), lambda seen: len(seen) >= 20)
        await until(lambda: not member.group.troubles())

    assert GROUP in told
    assert f"read nothing from {PROCEED}[" in told
    assert sorted(await _effects(bus)) == sorted(m.event_id for m in said)
    assert _restarts()["stalled"] - before.get("stalled", 0) == 1


async def test_a_frozen_consumer_without_a_store_is_made_anew(bus: KafkaBus) -> None:
    """The same where offsets are kept by the broker."""
    recorder, before = Recorder(), _restarts()
    member = Member(bus, group(GROUP, recorder, concurrency=2), None, QUICK_SECONDS)
    async with member.running():
        await publish(bus, [raw("a", 1)])
        await until(lambda: bool(recorder.handled))
        member.freeze()
        await publish(bus, [raw("a", 2), raw("b", 2)])
        await until(lambda: len(recorder.handled) >= 3)

    assert sorted(recorder.values()) == [b"a-1", b"a-2", b"b-2"]
    assert _restarts()["stalled"] - before.get("stalled", 0) == 1


@pytest.mark.slow
async def test_a_consumer_that_no_restart_helps_ends_its_task(bus: KafkaBus) -> None:
    """After three new consumers without a single message read, the task dies, red all along, so
    that the process does and somebody starts it anew."""
    store, before = await bus.store("module"), _restarts()
    await publish(bus, [proceed(bus.platform, "b")])
    member = Member(
        bus, with_effects(bus, store), store, QUICK_SECONDS / 2, membership=FrozenFromTheStart
    )
    red: list[bool] = []

    async def watch() -> None:
        await until(lambda: "has read nothing" in " ".join(member.group.troubles()))
        while True:
            red.append(bool(member.group.troubles()))
            await anyio.sleep(0.05)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            with anyio.fail_after(60):
                await member.group.run()

    with pytest.raises(BaseExceptionGroup) as died:
        await run()
    found = died.value.subgroup(TaskDied)
    assert found is not None
    assert "3 new consumers did not help" in repr(found)
    assert _restarts()["stalled"] - before.get("stalled", 0) == RESTARTS_MAX
    assert red
    assert all(red)
    assert await _effects(bus) == []


@pytest.mark.parametrize("has_store", [True, False])
async def test_a_consumer_that_hangs_in_a_fetch_is_made_anew(
    bus: KafkaBus, has_store: bool
) -> None:
    """The library does not come back from a fetch: it is told, counted, and joined again."""
    recorder, before = Recorder(), _restarts()
    store = await bus.store("module") if has_store else None
    member = Member(bus, group(GROUP, recorder), store, QUICK_SECONDS / 4, membership=SilentAtFirst)
    async with member.running():
        await publish(bus, [raw("a", n) for n in range(3)])
        await until(lambda: "for its partitions" in " ".join(member.group.troubles()))
        await until(lambda: len(recorder.handled) == 3)
        await until(lambda: not member.group.troubles())

    assert _restarts()["silent"] - before.get("silent", 0) == 1
    assert recorder.values() == [b"a-0", b"a-1", b"a-2"]


async def test_a_consumer_whose_broker_does_not_answer_is_made_anew(
    bus: KafkaBus, own_broker: KafkaBroker
) -> None:
    """Connections stand and nothing answers: after a while they are not trusted any more, and
    new ones are made as soon as that is possible."""
    recorder, before = Recorder(), _restarts()
    member = Member(bus, group(GROUP, recorder), None, QUICK_SECONDS / 4)

    def unanswered() -> float:
        return _restarts().get("unanswered", 0) - before.get("unanswered", 0)

    async with member.running():
        await publish(bus, [raw("a", 0)])
        await until(lambda: len(recorder.handled) == 1)
        own_broker.pause()
        await eventually(_now(unanswered), lambda count: count == 1, seconds=40)
        assert member.group.troubles()
        own_broker.resume()
        await publish(bus, [raw("a", 1)])
        await eventually(_now(lambda: len(recorder.handled)), lambda n: n >= 2, seconds=40)
        await until(lambda: not member.group.troubles())

    assert recorder.values()[-1] == b"a-1"


def _now(look: Callable[[], float]) -> Callable[[], Awaitable[float]]:
    async def probe() -> float:
        return look()

    return probe


async def test_the_transport_hands_its_times_on(bus: KafkaBus) -> None:
    """What the settings say holds for every group of a process, with a store and without."""
    times = ConsumerTimes(session_seconds=6, max_poll_seconds=60, watchdog_seconds=5)
    transport = KafkaTransport(bus.connection, bus.platform, times=times)
    transport.subscribe(group("stateless", Recorder()))
    store = await bus.store("module")
    transport.subscribe(replace(group("stored", Recorder()), store=store))

    for one in transport._groups.values():
        assert one._watchdog._seconds == 5
        assert one._membership.max_poll_seconds == 60
        assert one._membership._session_ms == 6_000


@pytest.mark.parametrize("has_store", [True, False])
async def test_a_slow_message_is_no_standstill(bus: KafkaBus, has_store: bool) -> None:
    """While a message is being handled or waits for its next attempt, others may wait behind it
    for as long as it takes."""
    healed, before = anyio.Event(), _restarts()

    async def slow(_: object) -> None:
        await healed.wait()

    recorder = Recorder(slow)
    store = await bus.store("module") if has_store else None
    member = Member(bus, group(GROUP, recorder), store, QUICK_SECONDS / 2)
    async with member.running():
        await publish(bus, [raw("a", n) for n in range(2)])
        await until(lambda: bool(recorder.deliveries))
        await publish(bus, [raw("a", n) for n in range(2, 4)])
        await anyio.sleep(QUICK_SECONDS)  # two terms of the watchdog
        healed.set()
        await until(lambda: len(recorder.handled) == 4)

    assert _restarts() == before


async def test_who_has_read_all_there_is_stands_at_its_end(bus: KafkaBus) -> None:
    """The marks of ended transactions, aborted records and an open transaction leave no gap
    between the position and the end that the broker tells."""
    recorder = Recorder()
    member = Member(bus, group(GROUP, recorder, concurrency=4), None)
    first = AIOKafkaProducer(transactional_id="ended", **bus.connection.client_options())
    second = AIOKafkaProducer(transactional_id="open", **bus.connection.client_options())

    async def behind() -> dict[str, int]:
        positions = await member.membership.positions()
        ends = await member.membership.ends(list(positions), 5.0)
        return {str(tp): ends[tp] - position for tp, position in positions.items()}

    def is_none(gaps: dict[str, int]) -> bool:
        return len(gaps) == 3 and not any(gaps.values())

    async with member.running():
        await first.start()
        await second.start()
        try:
            for partition in range(3):
                async with first.transaction():
                    await first.send_and_wait(PROCEED, b"1", b"k", partition=partition)
            await until(lambda: len(recorder.handled) >= 3)
            assert is_none(await eventually(behind, is_none))
            for partition in range(3):
                await first.begin_transaction()
                await first.send_and_wait(PROCEED, b"no", b"k", partition=partition)
                await first.abort_transaction()
            assert is_none(await eventually(behind, is_none))
            await second.begin_transaction()
            await second.send_and_wait(PROCEED, b"later", b"k", partition=1)
            await publish(bus, [raw(f"k{n}", n) for n in range(9)])
            assert is_none(await eventually(behind, is_none))
            await second.commit_transaction()
            await until(lambda: len(recorder.handled) >= 13)
            assert is_none(await eventually(behind, is_none))
        finally:
            await first.stop()
            await second.stop()

    assert b"no" not in recorder.values()


@pytest.mark.slow
async def test_a_broker_that_sleeps_a_while_wakes_to_the_same_consumers(
    bus: KafkaBus, own_broker: KafkaBroker
) -> None:
    """The broker is frozen for 20 s: readiness is red within 15 s, everything flows again soon
    after, and no storm of restarts is added to what it has to do then."""
    store, before = await bus.store("module"), _restarts()
    said = [proceed(bus.platform, f"b{n}") for n in range(20)]
    member = Member(bus, with_effects(bus, store), store)
    async with member.running():
        await publish(bus, said[:10])
        await eventually(lambda: _effects(bus), lambda seen: len(seen) >= 10)
        own_broker.pause()
        paused_at = anyio.current_time()
        await until(lambda: bool(member.group.troubles()))
        red_after = anyio.current_time() - paused_at
        await anyio.sleep_until(paused_at + 20)
        own_broker.resume()
        await publish(bus, said[10:])
        await eventually(lambda: _effects(bus), lambda seen: len(seen) >= 20, seconds=30)
        await until(lambda: not member.group.troubles())

    assert red_after < 15
    assert sorted(await _effects(bus)) == sorted(m.event_id for m in said)
    assert sum(_restarts().values()) - sum(before.values()) <= 1
