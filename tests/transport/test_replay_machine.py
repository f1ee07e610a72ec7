"""Dead letters of the embedded bus, replayed, discarded and failing again in any order."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from huleedu.core.errors import Rejected
from huleedu.core.message import Message
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.handled import handled_migrations
from huleedu.store.outbox import outbox_migrations
from huleedu.transport.consumer import Heard, StoreConsumer
from huleedu.transport.dead_letter_box import DeadLetter, Wanted
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS, DeadLetterKeeper
from huleedu.transport.event_progress import EventProgress
from huleedu.transport.failures import dead_letter_cause
from huleedu.transport.protocol import Delivery
from huleedu.transport.stored_dead_letter_box import StoredDeadLetterBox
from tests.support.consumers import effect_migrations, note_effects, proceed, read_effects
from tests.support.simulated import simulated_platform

T = TypeVar("T")

GROUPS = ("g", "h", "i")
BATCHES = ("b1", "b2")
EVERYTHING = Wanted(settled_too=True)

groups = st.sampled_from(GROUPS)
batches = st.sampled_from(BATCHES)


def forget_sent(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM outbox WHERE sent_at IS NOT NULL")


class Deployment:
    """Three groups that hear the same topic, and the store of their dead letters."""

    def __init__(self, folder: Path) -> None:
        self.platform = simulated_platform()
        self.failing: set[tuple[str, str]] = set()
        self.dead = Database(folder / "dead.db", DEAD_LETTER_MIGRATIONS, self.platform.hops)
        module = (outbox_migrations, handled_migrations, effect_migrations)
        self.stores = {
            name: Database(folder / f"{name}.db", module, self.platform.hops) for name in GROUPS
        }
        self.keeper = DeadLetterKeeper(self.dead, self.platform)
        self.box = StoredDeadLetterBox(self.dead, self.platform)

    async def open(self) -> None:
        for store in (self.dead, *self.stores.values()):
            await store.open()

    async def close(self) -> None:
        for store in (self.dead, *self.stores.values()):
            await store.close()

    async def letters(self, wanted: Wanted = EVERYTHING) -> list[DeadLetter]:
        async with aclosing(self.box.letters(wanted)) as letters:
            return [letter async for letter in letters]

    async def effects(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for name, store in self.stores.items():
            found.update((name, batch) for batch, _ in await store.read(read_effects))
        return found

    async def publish(self, messages: Sequence[Message]) -> None:
        """Have every group handle these and the replays that follow, and keep what fails."""
        for message in messages:
            for name in GROUPS:
                await self._deliver(name, message)
        for store in self.stores.values():
            for letter in await self._taken(store):
                await self.keeper.handle(self._delivery("dead-letters", letter))

    async def publish_replays(self) -> None:
        await self.publish(await self._taken(self.dead))

    async def _deliver(self, name: str, message: Message) -> None:
        def apply(
            connection: sqlite3.Connection, heard: Sequence[Heard], now: datetime
        ) -> Iterable[Message]:
            if any((name, one.batch_id) in self.failing for one in heard):
                raise Rejected("against the rule")
            return note_effects(connection, heard, now)

        consumer = StoreConsumer(self.stores[name], apply, self.platform, name)
        delivery = self._delivery(name, message)
        try:
            await consumer.handle(delivery)
        except Rejected as fault:
            now = self.platform.clock.now()
            await consumer.set_aside(delivery, dead_letter_cause(fault, message, name, 1, now))

    def _delivery(self, name: str, message: Message) -> Delivery:
        return Delivery(name, [message], 1, EventProgress(name, [message], self.platform))

    async def _taken(self, store: Database) -> list[Message]:
        def take(connection: sqlite3.Connection) -> list[Message]:
            rows = [
                row
                for topic in outbox.topics_waiting(connection)
                for row in outbox.unsent(connection, topic, 0, 1_000)
            ]
            outbox.mark_sent(connection, [row.id for row in rows], self.platform.clock.now())
            return [row.message for row in rows]

        return await store.write(take)


class ReplayMachine(RuleBasedStateMachine):
    """Beside the deployment: how often each group has handled each batch, and which letter was
    replayed to whom.
    """

    letters = Bundle("letters")

    @initialize()
    def start(self) -> None:
        self.folder = TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").exists() else None)
        self.runner = asyncio.Runner()
        self.deployment = Deployment(Path(self.folder.name))
        self.run(self.deployment.open())
        self.handled: Counter[tuple[str, str]] = Counter()
        self.replayed: set[tuple[str, bool]] = set()
        self.known: set[str] = set()
        self.waiting: set[str] = set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @rule(target=letters, batch=batches, failing=st.sets(groups))
    def a_message_fails_in_some_groups(self, batch: str, failing: set[str]) -> Any:
        self.deployment.failing = {(name, batch) for name in failing}
        self.run(self.deployment.publish([proceed(self.deployment.platform, batch)]))
        return self.reached(batch, GROUPS)

    @rule(target=letters, letter=letters, everyone=st.booleans(), failing=st.sets(groups))
    def one_is_replayed(self, letter: DeadLetter, everyone: bool, failing: set[str]) -> Any:
        batch = letter.batch_id or ""
        self.deployment.failing = {(name, batch) for name in failing}
        current = self.current(letter)
        told = self.run(self.deployment.box.replay([current], to_everyone=everyone))
        self.run(self.deployment.publish_replays())
        is_new = (letter.id, everyone) not in self.replayed
        assert told == is_new, "what is told is what is reached"
        if not is_new:
            return multiple()
        self.replayed.add((letter.id, everyone))
        self.waiting.discard(letter.id)
        return self.reached(batch, GROUPS if everyone else (str(letter.group),))

    @rule(letter=letters)
    def one_is_discarded(self, letter: DeadLetter) -> None:
        assert self.run(self.deployment.box.discard([self.current(letter)])) == 1
        self.waiting.discard(letter.id)

    @rule(letter=consumes(letters))
    def one_is_decided_about_by_who_saw_it_earlier(self, letter: DeadLetter) -> None:
        expected = letter.id in self.waiting
        assert self.run(self.deployment.box.discard([letter])) == expected
        self.waiting.discard(letter.id)

    @rule()
    def replays_that_were_published_are_forgotten(self) -> None:
        self.run(self.deployment.dead.write(forget_sent))

    def reached(self, batch: str, names: Iterable[str]) -> Any:
        """Note that these groups heard it: each has handled it or set it aside once more."""
        failed = {name for name in names if (name, batch) in self.deployment.failing}
        self.handled.update((name, batch) for name in names if name not in failed)
        new = [one for one in self.run(self.deployment.letters()) if one.id not in self.known]
        assert sorted(str(one.group) for one in new) == sorted(failed)
        assert all(one.settlement is None for one in new)
        self.known |= {one.id for one in new}
        self.waiting |= {one.id for one in new}
        return multiple(*new)

    def current(self, letter: DeadLetter) -> DeadLetter:
        (found,) = self.run(
            self.deployment.letters(Wanted(ids=frozenset({letter.id}), settled_too=True))
        )
        return found

    @invariant()
    def every_group_has_handled_what_reached_it(self) -> None:
        assert self.run(self.deployment.effects()) == self.handled

    @invariant()
    def what_nobody_decided_about_waits(self) -> None:
        assert {one.id for one in self.run(self.deployment.letters(Wanted()))} == self.waiting

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.deployment.close())
            self.runner.close()
            self.folder.cleanup()


ReplayMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestReplays = ReplayMachine.TestCase
