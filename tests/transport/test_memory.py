"""The memory bus keeps what every transport promises, and its own promises besides."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from prometheus_client import REGISTRY

from huleedu.core.errors import Rejected, StoreUnavailable
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.handled import handled_migrations
from huleedu.store.outbox import outbox_migrations
from huleedu.transport import outbox_gauges
from huleedu.transport.breaker import WINDOW_MESSAGES
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS
from huleedu.transport.memory import MemoryTransport
from huleedu.transport.protocol import Delivery, Subscription
from huleedu.transport.relay import UNMARKED_ROWS_MAX
from tests.support.consumers import PROCEED, Recorder, effect_migrations, proceed
from tests.support.dead_letters import read_dead_letters
from tests.transport.bus import group, raw, say, until, until_sent
from tests.transport.conformance import TransportConformance
from tests.transport.independence import WaitingKeyConformance

pytestmark = pytest.mark.anyio


class MemoryBus:
    """The embedded bus on stores in a folder."""

    def __init__(self, folder: Path) -> None:
        self.platform = Platform()
        self.queue_messages_max = 1_000
        self.busy_timeout_seconds = 5.0
        self._folder = folder
        self._stores: dict[str, Database] = {}

    async def store(self, name: str) -> Database:
        if name not in self._stores:
            migrations = [outbox_migrations, handled_migrations, effect_migrations]
            if name == "dead-letters":
                migrations = list(DEAD_LETTER_MIGRATIONS)
            self._stores[name] = Database(
                self._folder / f"{name}.db",
                migrations,
                self.platform.hops,
                self.busy_timeout_seconds,
            )
            await self._stores[name].open()
        return self._stores[name]

    @asynccontextmanager
    async def running(
        self, subscriptions: Sequence[Subscription], relays: Sequence[Database] = ()
    ) -> AsyncIterator[MemoryTransport]:
        transport = MemoryTransport(
            self.platform, await self.store("dead-letters"), self.queue_messages_max
        )
        for subscription in subscriptions:
            transport.subscribe(subscription)
        for database in relays:
            transport.relay(database)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transport.run)
            try:
                yield transport
            finally:
                tasks.cancel_scope.cancel()

    async def until_handled(self, sender: Database) -> None:
        await until_sent(sender)  # here a row is marked when every group has handled it

    async def dead_letters(self) -> Sequence[Message]:
        store = await self.store("dead-letters")
        return await store.read(read_dead_letters)

    async def close(self) -> None:
        async with AsyncExitStack() as stack:
            for store in self._stores.values():
                stack.push_async_callback(store.close)


@pytest.fixture
async def bus(anyio_backend: str, tmp_path: Path) -> AsyncIterator[MemoryBus]:
    bus = MemoryBus(tmp_path)
    yield bus
    await bus.close()


class TestMemory(TransportConformance, WaitingKeyConformance):
    """The suite, bound to the memory bus."""


async def never(_: Delivery) -> None:
    raise StoreUnavailable("not while this runs")


async def test_publishing_ends_when_the_messages_are_on_disk(bus: MemoryBus) -> None:
    """A publish waits for no group; what one of them has not handled comes after a restart, and
    what another has handled does not come again."""
    quick, away, back = Recorder(), Recorder(never), Recorder()
    said = [raw("a", number) for number in range(3)]
    async with bus.running([group("quick", quick), group("away", away)]) as transport:
        with anyio.fail_after(10):
            await transport.publish(said)
            await transport.publish([])
        await until(lambda: len(quick.handled) == 3 and bool(away.deliveries))
    async with bus.running([group("quick", quick), group("away", back)]):
        await until(lambda: len(back.handled) == 3)
        await until_sent(await bus.store("dead-letters"))

    assert back.handled == quick.handled == said


async def test_what_is_published_amid_a_stop_is_kept(bus: MemoryBus) -> None:
    """Whoever publishes while the bus stops, or after it has, need not do so again."""
    first, second = Recorder(never), Recorder()
    async with bus.running([group("g", first)]) as transport:
        await transport.publish([raw("a", 1)])
        await until(lambda: bool(first.deliveries))
    await transport.publish([raw("a", 2)])
    async with bus.running([group("g", second)]):
        await until(lambda: len(second.handled) == 2)

    assert second.values() == [b"a-1", b"a-2"]


async def test_no_more_is_in_memory_than_a_queue_may_hold(bus: MemoryBus) -> None:
    """However much there is for a slow group, only so many messages wait for it in memory."""
    bus.queue_messages_max = 5
    go, sender = anyio.Event(), await bus.store("sender")

    async def slow(_: Delivery) -> None:
        await go.wait()

    recorder = Recorder(slow)
    await say(sender, bus, [raw(f"k{number}", number) for number in range(20)])
    async with bus.running([group("g", recorder, batch_max=1)], [sender]) as transport:
        (listener,) = transport._listeners[PROCEED]
        await until(lambda: bool(recorder.deliveries) and len(listener.queue) > 3)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert len(listener.queue) <= 5
        go.set()
        await until(lambda: len(recorder.handled) == 20)


async def test_a_dead_letter_is_kept_before_its_message_is_done_with(bus: MemoryBus) -> None:
    """When the dead letter cannot be put away, the message stays and is tried again."""

    class Refuses(Recorder):
        async def set_aside(self, delivery: Delivery, cause: object) -> None:
            if len(self.deliveries) < 3:
                raise LookupError("the way aside is broken")
            await super().set_aside(delivery, {})

    async def rejects(_: Delivery) -> None:
        raise Rejected("no")

    recorder = Refuses(rejects)
    async with bus.running([group("g", recorder)]) as transport:
        await transport.publish([raw("a", 1)])
        await until(lambda: bool(transport.held_up()))
        await until(lambda: bool(recorder.aside))
        await until_sent(await bus.store("dead-letters"))

        assert [message.value for message, _ in recorder.aside] == [b"a-1"]
        assert len(recorder.deliveries) == 3
        assert list(transport.held_up()) == []


async def test_a_group_that_leaves_too_much_is_told_of(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a bound, what a group has not handled is named, and measured for each group; all of
    it is kept, and no other group is harmed."""
    monkeypatch.setattr(outbox_gauges, "GROUP_ROWS_MAX", 10)
    sender, other = await bus.store("sender"), Recorder()
    await say(sender, bus, [raw("a", number) for number in range(20)])
    async with bus.running([group("away", Recorder(never)), group("other", other)], [sender]) as on:
        await until(lambda: "away has not handled 20 messages" in " ".join(on.held_up()))
        await until(lambda: len(other.handled) == 20)
        assert list(on.troubles()) == []
    left, _ = await sender.read(lambda db: outbox.backlog_of(db, [PROCEED], "away"))

    labels = {"module": "sender", "group": "away"}
    assert REGISTRY.get_sample_value("huleedu_group_backlog_rows", labels) == left == 20


async def test_an_outbox_that_cannot_be_marked_heals(bus: MemoryBus) -> None:
    """While its store is locked by another process the relay says so; then every row is marked."""
    bus.busy_timeout_seconds = 0.02
    sender, recorder = await bus.store("sender"), Recorder()
    foreign = sqlite3.connect(sender.path, isolation_level=None)
    await say(sender, bus, [raw("a", number) for number in range(5)])
    foreign.execute("BEGIN IMMEDIATE")
    async with bus.running([group("g", recorder)], [sender]) as transport:
        await until(lambda: len(recorder.handled) == 5)
        await until(lambda: bool(transport.troubles()))
        told = list(transport.troubles())
        foreign.execute("COMMIT")
        await until_sent(sender)
        await until(lambda: not transport.troubles())
    foreign.close()

    assert "outbox of sender" in told[0]
    assert recorder.values() == [f"a-{number}".encode() for number in range(5)]


async def test_a_message_nobody_listens_to_is_done_with(bus: MemoryBus) -> None:
    """A row whose topic has no group is marked; it does not wait for ever."""
    sender = await bus.store("sender")
    await say(sender, bus, [raw("a", 1)])
    async with bus.running([], [sender]):
        await until_sent(sender)


async def test_a_dead_letter_topic_with_a_listener_is_kept_all_the_same(bus: MemoryBus) -> None:
    """Whoever listens to dead letters, in whatever order it attached, takes none away."""
    alarm, sender = Recorder(), await bus.store("sender")
    letter = raw("a", 1, f"{PROCEED}.dlq")
    await say(sender, bus, [letter])
    async with bus.running(
        [group("alarm", alarm, [f"{PROCEED}.dlq"]), group("g", Recorder())], [sender]
    ):
        await until_sent(sender)

    assert alarm.handled == [letter]
    assert await bus.dead_letters() == [letter]


async def test_a_stopped_group_holds_up_no_other_however_much_it_leaves(bus: MemoryBus) -> None:
    """More messages than its queue and the relay hold are left by a group that stopped; another
    group on the same topic hears all of them, and all stay in the outbox for a restart."""
    sender, store = await bus.store("sender"), await bus.store("module")
    bus.queue_messages_max = 20

    def apply(db, heard, now):  # type: ignore[no-untyped-def]
        raise Rejected("against the rule")

    consumer, other = StoreConsumer(store, apply, bus.platform, "module"), Recorder()
    said = [proceed(bus.platform, f"b{number % 50}") for number in range(UNMARKED_ROWS_MAX + 500)]
    await say(sender, bus, said)
    groups = [group("g", consumer), group("other", other)]
    async with bus.running(groups, [sender, store]) as transport:
        await until(lambda: len(other.handled) == len(said))
        await until(lambda: " stopped on " in " ".join(transport.troubles()))
        await until_sent(store)
    left, _ = await sender.read(outbox.backlog)
    aside = {letter.event_id for letter in await bus.dead_letters()}

    assert left == len(said) - len(aside)
    assert len(aside) == WINDOW_MESSAGES - 1


async def test_a_bus_that_stops_says_so_before_the_last_handler_has_ended(bus: MemoryBus) -> None:
    """Whether it was told to stop or broke down: it is not ready from then on."""
    told: list[str] = []

    async with anyio.create_task_group() as tasks:
        running = anyio.CancelScope()

        async def stop_and_look(_: Delivery) -> None:
            running.cancel()
            with anyio.CancelScope(shield=True):
                await until(lambda: bool(transport.troubles()))
                told.extend(transport.troubles())

        transport = MemoryTransport(bus.platform, await bus.store("dead-letters"))
        transport.subscribe(group("g", Recorder(stop_and_look)))
        before = list(transport.troubles())

        async def run() -> None:
            with running:
                await transport.run()

        tasks.start_soon(run)
        await transport.publish([raw("a", 1)])

    assert (before, told) == ([], ["the bus is stopping"])
