"""Looking after the dead letters of the embedded bus, beside the program that keeps them."""

import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.clock import SystemClock, to_text
from huleedu.core.errors import Misconfigured, Rejected
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.handled import handled_migrations
from huleedu.store.outbox import outbox_migrations
from huleedu.transport.consumer import Heard, StoreConsumer
from huleedu.transport.dead_letter_box import DeadLetter, Wanted, refusal_of, settle, survey
from huleedu.transport.dead_letters import (
    DEAD_LETTER_MIGRATIONS,
    dead_letter_migrations,
    purge_settled,
)
from huleedu.transport.failures import dead_letter, dead_letter_cause
from huleedu.transport.memory import MemoryTransport
from huleedu.transport.stored_dead_letter_box import StoredDeadLetterBox
from tests.support.consumers import (
    CANCELLED,
    PROCEED,
    effect_migrations,
    note_effects,
    proceed,
    read_effects,
)
from tests.support.eventually import eventually
from tests.transport.bus import group, until_sent

pytestmark = pytest.mark.anyio

EVERYTHING = Wanted()


class Hasty(SystemClock):
    """Sleeps are short, so that what looks now and then looks often."""

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(min(seconds, 0.02))


class Program:
    """Two modules on the embedded bus; one of them may fail, the other hears the same topics."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.platform = Platform(clock=Hasty())
        self.failing: set[str] = set()
        self.stores: dict[str, Database] = {}

    async def open(self) -> None:
        module = (outbox_migrations, handled_migrations, effect_migrations)
        sets = {"sender": module, "g": module, "h": module, "dead": DEAD_LETTER_MIGRATIONS}
        for name, migrations in sets.items():
            path = self.folder / f"{name}.db"
            self.stores[name] = Database(path, migrations, self.platform.hops)
            await self.stores[name].open()

    async def close(self) -> None:
        for store in self.stores.values():
            await store.close()

    @property
    def box(self) -> StoredDeadLetterBox:
        """Of this process: replays are published at once."""
        return StoredDeadLetterBox(self.stores["dead"], self.platform)

    @property
    def path(self) -> Path:
        return self.stores["dead"].path

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        def fails(
            connection: sqlite3.Connection, heard: Sequence[Heard], now: datetime
        ) -> Iterable[Message]:
            if any(one.batch_id in self.failing for one in heard):
                raise Rejected("against the rule")
            return note_effects(connection, heard, now)

        transport = MemoryTransport(self.platform, self.stores["dead"])
        for name, apply in (("g", fails), ("h", note_effects)):
            consumer = StoreConsumer(self.stores[name], apply, self.platform, name)
            transport.subscribe(group(name, consumer, (PROCEED, CANCELLED)))
        for store in self.stores.values():
            transport.relay(store)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transport.run)
            yield
            tasks.cancel_scope.cancel()

    async def say(self, messages: Sequence[Message]) -> None:
        now = self.platform.clock.now()
        await self.stores["sender"].write(lambda db: outbox.add(db, messages, now))

    async def settled_down(self) -> None:
        """Return when everything said is handled, and every dead letter kept."""
        for name in ("sender", "dead", "g"):
            await until_sent(self.stores[name])

    async def letters(self, wanted: Wanted = EVERYTHING) -> list[DeadLetter]:
        return await letters_of(self.box, wanted)

    async def effects(self, name: str) -> list[str]:
        return sorted(batch for batch, _ in await self.stores[name].read(read_effects))


async def letters_of(box: StoredDeadLetterBox, wanted: Wanted = EVERYTHING) -> list[DeadLetter]:
    async with aclosing(box.letters(wanted)) as letters:
        return [letter async for letter in letters]


@asynccontextmanager
async def programmed(folder: Path) -> AsyncIterator[Program]:
    program = Program(folder)
    await program.open()
    try:
        yield program
    finally:
        await program.close()


@pytest.fixture
async def program(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Program]:
    async with programmed(tmp_path) as program:
        yield program


async def with_letters(program: Program, count: int) -> None:
    """Have so many messages set aside."""
    batches = [f"b{number}" for number in range(count)]
    program.failing = set(batches)
    async with program.running():
        await program.say([proceed(program.platform, batch) for batch in batches])
        await program.settled_down()


@settings(max_examples=15, deadline=None)
@given(
    st.sets(st.integers(0, 7), min_size=1),
    st.lists(st.lists(st.integers(0, 20), max_size=6), max_size=3),
    st.lists(st.lists(st.integers(0, 20), max_size=6), max_size=3),
)
def test_whatever_is_replayed_however_often_counts_once(
    failing: set[int], too_early: list[list[int]], afterwards: list[list[int]]
) -> None:
    """Any dead letters replayed any number of times, before their cause is mended and after, each
    message has its effect once; the group that had handled it hears it no second time, and no
    dead letter has more headers than the first, but the count of replays."""

    async def scenario(program: Program) -> None:
        program.failing = {f"b{number}" for number in failing}
        async with program.running():
            await program.say([proceed(program.platform, f"b{n}") for n in range(8)])
            await program.settled_down()
            first = await program.letters()
            for chosen in too_early:
                await replay_some(program, chosen)
            program.failing = set()
            assert len(await program.letters()) == len(failing)
            await program.box.replay(await program.letters())
            await program.settled_down()
            for chosen in afterwards:
                await replay_some(program, chosen)
            kept = await program.letters(Wanted(settled_too=True))

        everything = sorted(f"b{number}" for number in range(8))
        assert await program.effects("g") == everything
        assert await program.effects("h") == everything
        assert {one.settlement for one in kept} == {"replayed"}
        fewest = min(len(one.message.headers) for one in first)
        assert max(len(one.message.headers) for one in kept) <= fewest + 1
        started = {one.batch_id: one.cause("first-failed-at") for one in first}
        for letter in kept:
            assert letter.cause("first-failed-at") == started[letter.batch_id]
            assert int(letter.cause("attempts") or 0) > int(letter.cause("replays") or 0)

    async def in_a_folder() -> None:
        with TemporaryDirectory() as folder:
            async with programmed(Path(folder)) as program:
                await scenario(program)

    anyio.run(in_a_folder)


async def replay_some(program: Program, chosen: Sequence[int]) -> None:
    """Replay some dead letters, settled or not, some of them twice."""
    kept = await program.letters(Wanted(settled_too=True))
    for number in chosen:
        await program.box.replay([kept[number % len(kept)]])
        kept = await program.letters(Wanted(settled_too=True))
    await program.settled_down()


async def test_a_replay_reaches_a_running_program(program: Program) -> None:
    """Another process puts the replay where the running program finds it within seconds."""
    await with_letters(program, 3)
    program.failing = set()
    async with program.running(), StoredDeadLetterBox.opened(program.path, Platform()) as box:
        assert await box.replay(await letters_of(box)) == 3

        async def effects() -> list[str]:
            return await program.effects("g")

        await eventually(effects, lambda batches: len(batches) == 3)


async def test_a_replay_waits_for_a_program_that_is_stopped(program: Program) -> None:
    """Replayed while nothing runs, a message is handled once the program starts."""
    await with_letters(program, 3)
    program.failing = set()
    async with StoredDeadLetterBox.opened(program.path, Platform()) as box:
        assert await box.replay(await letters_of(box)) == 3
        assert await letters_of(box) == []
    assert await program.effects("g") == []
    async with program.running():
        await program.settled_down()

    assert await program.effects("g") == ["b0", "b1", "b2"]


async def test_what_is_discarded_is_not_handled(program: Program) -> None:
    """A discarded dead letter leaves the list, is published by nobody, and stays known."""
    await with_letters(program, 2)
    first, second = await program.letters()
    program.failing = set()
    assert await program.box.discard([first]) == 1
    assert await program.box.replay(await program.letters()) == 1
    async with program.running():
        await program.settled_down()
    settled = await program.letters(Wanted(settled_too=True))

    assert await program.effects("g") == [second.batch_id]
    assert [one.settlement for one in settled] == ["discarded", "replayed"]


async def test_two_who_decide_at_once_decide_once(program: Program) -> None:
    """What somebody else settled since it was read is left as that one decided."""
    await with_letters(program, 2)
    seen = await program.letters()
    assert await program.box.discard(seen[:1]) == 1

    assert await program.box.replay(seen) == 1
    assert await program.box.discard(seen) == 0
    assert [o.settlement for o in await program.letters(Wanted(settled_too=True))] == [
        "discarded",
        "replayed",
    ]


async def test_filters_find_what_they_name(program: Program) -> None:
    """Every filter alone finds what it names and nothing else; all given ones have to apply."""
    await with_letters(program, 2)
    broken = Message(PROCEED, b"\xff", b"{", {"event-id": "broken"})
    other = Message(CANCELLED, b"b7", b"null")
    async with program.running():
        await program.say([broken, other])
        await program.settled_down()
    letters = await program.letters()
    by_event = {letter.message.event_id: letter.id for letter in letters}
    malformed = {letter.id for letter in letters[2:]}
    now = datetime.fromisoformat(str(letters[-1].cause("failed-at")))

    async def found(**given: object) -> set[str]:
        return {one.id for one in await program.letters(Wanted(**given))}  # type: ignore[arg-type]

    everything = {letter.id for letter in letters}
    assert len(everything) == 6  # of what cannot be read there is one for each group
    assert await found() == everything
    assert await found(error="MalformedMessage") == malformed
    assert await found(error="VALIDATION_ERROR") == everything
    assert await found(group="h") < malformed
    assert await found(topic=CANCELLED) == await found(topic=f"{CANCELLED}.dlq")
    assert len(await found(topic=CANCELLED)) == 2
    assert await found(batch_id="b1") == {letters[1].id}
    assert await found(batch_id="b7") == await found(topic=CANCELLED)
    assert await found(ids=frozenset({by_event["broken"]}), group="g") <= malformed
    assert await found(since=now) >= {letters[-1].id}
    assert await found(since=now + timedelta(seconds=1)) == set()
    assert await found(batch_id="b1", topic=CANCELLED) == set()


async def test_what_is_settled_is_surveyed_first(program: Program) -> None:
    """Before anything is done it is known what it would be, and what is refused and why."""
    await with_letters(program, 3)
    elsewhere = await survey(program.box, EVERYTHING, refusal_of({"h"}), 10)
    here = await survey(program.box, EVERYTHING, refusal_of({"g"}), 2)
    told: list[int] = []
    done = await settle(
        program.box, Wanted(ids=frozenset(here.ids)), program.box.replay, told.append
    )

    assert elsewhere.ids == []
    assert set(elsewhere.refused.values()) == {"no group g listens in this deployment"}
    assert (await survey(program.box, EVERYTHING, refusal_of(None), 10)).refused == {}
    assert sum(here.counts.values()) == len(here.ids) == done == told[-1] == 2
    assert len(await program.letters()) == 1


async def test_many_are_read_page_by_page(program: Program) -> None:
    """More dead letters than fit a page and a slice are all found, in order, and all settled."""
    async with program.running():
        said = [Message(f"{PROCEED}.dlq", b"k", b"%d" % number) for number in range(230)]
        await program.say(said)
        await program.settled_down()
    found = await survey(program.box, EVERYTHING, refusal_of(None), 1_000)
    told: list[int] = []
    wanted = Wanted(ids=frozenset(found.ids))

    assert found.ids == [str(number) for number in range(1, 231)]
    assert await settle(program.box, wanted, program.box.discard, told.append) == 230
    assert told == [100, 200, 230]


async def test_a_thousand_replayed_twice_count_once(program: Program) -> None:
    """A thousand dead letters replayed, and all replayed once more, have one effect each, in the
    group that had set them aside and in no other."""
    messages = [proceed(program.platform, f"b{number}") for number in range(1_000)]
    fault, now = Rejected("against the rule"), program.platform.clock.now()
    said = [dead_letter(m, dead_letter_cause(fault, m, "g", 1, now)) for m in messages]
    told: list[int] = []
    async with program.running():
        await program.say(said)
        await program.settled_down()
        found = await survey(program.box, EVERYTHING, refusal_of({"g"}), 2_000)
        wanted = Wanted(ids=frozenset(found.ids), settled_too=True)
        for reached in (1_000, 0):
            assert await settle(program.box, wanted, program.box.replay, told.append) == reached
            await program.settled_down()

    assert await program.effects("g") == sorted(m.key.decode() for m in messages)
    assert await program.effects("h") == []


async def test_what_waits_is_never_purged(program: Program) -> None:
    """Housekeeping forgets what was settled long ago, and nothing that waits."""
    await with_letters(program, 3)
    await program.box.discard((await program.letters())[:1])
    long_after = program.platform.clock.now() + timedelta(days=31)

    async def purge(now: datetime) -> int:
        keep = timedelta(days=30)
        return await program.stores["dead"].write(lambda db: purge_settled(db, now, keep))

    assert await purge(program.platform.clock.now()) == 0
    await program.stores["dead"].write(
        lambda db: db.execute(
            "UPDATE dead_letter SET settled_as = 'discarded', settled_at = ? WHERE id = 3",
            (to_text(long_after),),
        )
    )
    assert await purge(long_after) == 1
    assert len(await program.letters(Wanted(settled_too=True))) == 2


async def test_another_versions_store_is_left_alone(tmp_path: Path) -> None:
    """Neither a missing store is made nor an older one changed: whose it is may be running."""
    platform = Platform()
    path = tmp_path / "dead_letters.db"
    with pytest.raises(Misconfigured, match="does not exist"):
        async with StoredDeadLetterBox.opened(path, platform):
            pass
    assert not path.exists()
    older = Database(path, (dead_letter_migrations,), platform.hops)
    await older.open()
    await older.close()
    before = path.read_bytes()
    with pytest.raises(Misconfigured, match="older version"):
        async with StoredDeadLetterBox.opened(path, platform):
            pass

    assert path.read_bytes() == before
