"""Crashes and stops of the embedded bus at any moment: every event counts exactly once."""

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.enums import ProcessingEvent
from huleedu.core.errors import PeerUnavailable, StoreUnavailable
from huleedu.core.ids import derived_event_id
from huleedu.core.message import Message, event_message
from huleedu.core.messages import BatchCancelled, batch_reference, metadata_of
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.handled import handled_migrations
from huleedu.store.outbox import outbox_migrations
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS
from huleedu.transport.memory import MemoryTransport
from huleedu.transport.protocol import Delivery
from tests.support.consumers import (
    CANCELLED,
    PROCEED,
    Recorder,
    effect_migrations,
    note_effects,
    proceed,
    read_effects,
)
from tests.support.dead_letters import read_dead_letters
from tests.support.eventually import eventually
from tests.support.simulated import SeededIds
from tests.support.virtual_time import LoopClock, run_virtually
from tests.transport.bus import group

T = TypeVar("T")
STORES = ("a", "b", "c", "d", "dead")
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Crash(BaseException):
    """The process is gone."""


class MortalHops:
    """Work takes a moment; at the appointed hop the process dies, before the work or after it,
    and from then on nothing happens any more."""

    def __init__(self, dies_at: int | None, after_its_work: bool, chance: Random) -> None:
        self._left = dies_at
        self._after = after_its_work
        self._chance = chance

    async def thread(self, work: Callable[[], T]) -> T:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(self._chance.choice([0, 0.001, 0.005]))
            self._count(dying=not self._after)
            result = work()
            self._count(dying=self._after, spend=False)
            await checkpoint()
        return result

    def _count(self, dying: bool, spend: bool = True) -> None:
        if self._left is None:
            return
        if spend:
            self._left -= 1
        if self._left < 0 or (self._left == 0 and dying):
            raise Crash


class Life(NamedTuple):
    """One run of the program: how it ends, and how many messages are said during it."""

    dies_at_hop: int | None
    after_its_work: bool
    stops_after_ms: int
    said: int
    away: frozenset[str] = frozenset()
    """Groups that can handle nothing."""


lives = st.builds(
    Life,
    dies_at_hop=st.none() | st.integers(1, 60),
    after_its_work=st.booleans(),
    stops_after_ms=st.integers(0, 400),
    said=st.integers(0, 4),
    away=st.frozensets(st.sampled_from("bcd"), max_size=2),
)


class Program:
    """Four modules on their stores: one speaks, three hear; what one of them says, others hear."""

    def __init__(self, folder: Path, chance: Random) -> None:
        self._folder = folder
        self._chance = chance
        self._ids = SeededIds(7)
        self.said: list[Message] = []

    async def live(self, life: Life | None, away: frozenset[str] = frozenset()) -> None:
        """Run until the life's end; without one, until every group that is not away has handled
        all that was said and, where none is away, all outboxes are empty."""
        hops = MortalHops(
            life.dies_at_hop if life else None, bool(life and life.after_its_work), self._chance
        )
        platform = Platform(clock=LoopClock(), ids=self._ids, random=self._chance, hops=hops)
        try:
            await self._run(platform, life, life.away if life else away)
        except* Crash:
            pass

    async def _run(self, platform: Platform, life: Life | None, away: frozenset[str]) -> None:
        stores = {name: await self.opened(name, platform) for name in STORES}
        transport = MemoryTransport(platform, stores["dead"], queue_messages_max=3)
        b = StoreConsumer(stores["b"], self._answer(platform), platform, "b")
        c = StoreConsumer(stores["c"], note_effects, platform, "c")
        d = StoreConsumer(stores["d"], note_effects, platform, "d")
        both = [PROCEED, CANCELLED]
        for name, consumer, topics in (("b", b, [PROCEED]), ("c", c, both), ("d", d, both)):
            behave = self._away if name in away else self._unreliable(consumer)
            transport.subscribe(group(name, Recorder(behave), topics, 3, concurrency=2))
        for name in "abcd":
            transport.relay(stores[name])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transport.run)
            for number in range(life.said if life else 0):
                await self._say(stores["a"], platform, f"batch-{number % 3}")
            if life is None:
                await self._until_all_is_handled(stores, away)
            else:
                await anyio.sleep(life.stops_after_ms / 1000)
            tasks.cancel_scope.cancel()

    async def opened(self, name: str, platform: Platform) -> Database:
        migrations = [outbox_migrations, handled_migrations, effect_migrations]
        if name == "dead":
            migrations = list(DEAD_LETTER_MIGRATIONS)
        store = Database(self._folder / f"{name}.db", migrations, platform.hops)
        await store.open()
        return store

    async def _say(self, store: Database, platform: Platform, batch_id: str) -> None:
        message, now = proceed(platform, batch_id), platform.clock.now()

        def work(connection: object) -> None:
            outbox.add(connection, [message], now)  # type: ignore[arg-type]
            self.said.append(message)

        await store.write(work)

    async def _away(self, _: Delivery) -> None:
        raise StoreUnavailable("not in this life")

    def _unreliable(self, consumer: StoreConsumer) -> Callable[[Delivery], Awaitable[None]]:
        async def handle(delivery: Delivery) -> None:
            if self._chance.random() < 0.15:
                raise PeerUnavailable("before")
            await consumer.handle(delivery)
            if self._chance.random() < 0.15:
                raise PeerUnavailable("after")

        return handle

    def _answer(self, platform: Platform):  # type: ignore[no-untyped-def]
        def apply(connection, heard, now):  # type: ignore[no-untyped-def]
            note_effects(connection, heard, now)
            event = ProcessingEvent.BATCH_CANCELLED
            return [
                event_message(
                    event,
                    BatchCancelled(
                        batch_id=one.batch_id,
                        cancellation_time=now,
                        metadata=metadata_of(batch_reference(one.batch_id), event, now),
                    ),
                    event_id=derived_event_id(event.value, str(one.envelope.event_id)),
                    at=now,
                    source_service="b",
                    correlation_id=None,
                )
                for one in heard
            ]

        return apply

    def expected(self) -> dict[str, list[tuple[str, str]]]:
        """Return the effects that each module is to have, of every key in order."""
        said = [(m.key.decode(), m.event_id) for m in self.said]
        answers = [
            (key, str(derived_event_id(ProcessingEvent.BATCH_CANCELLED.value, event_id)))
            for key, event_id in said
        ]
        return {"b": said, "c": [*said, *answers], "d": [*said, *answers]}

    async def _until_all_is_handled(
        self, stores: Mapping[str, Database], away: frozenset[str]
    ) -> None:
        async def missing() -> int:
            missing = 0
            for name, effects in self.expected().items():
                if name not in away:
                    missing += len(effects) - len(await stores[name].read(read_effects))
            if not away:
                missing += sum([(await store.read(outbox.backlog))[0] for store in stores.values()])
            return missing

        await eventually(missing, lambda count: count <= 0, seconds=600)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(lives, max_size=6), st.integers(0, 2**32))
def test_every_event_has_one_effect_whatever_dies_when(plan: list[Life], seed: int) -> None:
    """Through any number of crashes, at any hop to a thread, stops at any moment, and lives in
    which groups are away: each event that was said has exactly one effect in each group that is
    up, whatever another does, in order per key; what follows from it is said once; in the end no
    outbox keeps anything, and nothing becomes a dead letter."""

    async def main(folder: Path) -> None:
        program = Program(folder, Random(seed))
        for life in [*plan, Life(None, False, 50, 3)]:
            await program.live(life)
        await program.live(None, away=frozenset("d"))
        await check(program, "bc")
        await program.live(None)
        await check(program, "bcd")
        stores = [await program.opened(name, Platform(hops=_immortal())) for name in STORES]
        assert await stores[-1].read(read_dead_letters) == []
        for store in stores:
            noted = await store.read(
                lambda db: db.execute("SELECT * FROM outbox_handled").fetchall()
            )
            assert noted == []
            await store.close()

    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        run_virtually(main, Path(folder))


async def check(program: Program, modules: str) -> None:
    for name in modules:
        store = await program.opened(name, Platform(hops=_immortal()))
        effects = await store.read(read_effects)
        await store.close()
        expected = program.expected()[name]
        said = expected[: len(program.said)]
        assert Counter(effects) == Counter(expected)
        for story in (said, expected[len(said) :]):
            for key in {key for key, _ in story}:
                of_key = [event for event in story if event[0] == key]
                assert [event for event in effects if event in of_key] == of_key


def _noted(connection: sqlite3.Connection) -> list[object]:
    return connection.execute("SELECT * FROM outbox_handled").fetchall()


def _immortal() -> MortalHops:
    return MortalHops(None, False, Random(0))
