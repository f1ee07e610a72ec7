"""A group's place in a topic of an outbox, under every order of events."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from huleedu.core.message import Message
from huleedu.store import outbox
from huleedu.store.migrations import migrate
from huleedu.store.outbox import outbox_migrations
from huleedu.transport.memory_lane import Lane, Listener
from huleedu.transport.memory_queue import Entry, TopicQueue
from tests.support.virtual_time import run_virtually

T = TypeVar("T")
NOW = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
MESSAGES_MAX = 4
PAUSE_SECONDS = 1.0

steps = st.one_of(
    st.tuples(st.just("say"), st.lists(st.sampled_from("aaabbc"), min_size=1, max_size=6)),
    st.tuples(st.just("take"), st.integers(1, 4)),
    st.tuples(st.just("take"), st.integers(1, 4)),
    st.tuples(st.just("done"), st.integers(0, 1)),
    st.tuples(st.just("fail"), st.integers(0, 1)),
    st.tuples(st.just("sleep"), st.just(1)),
)


class World:
    """One lane on an outbox in memory, beside a list of all that was said and handled."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.connection, "s", [outbox_migrations])
        self.queue = TopicQueue(MESSAGES_MAX)
        self.lane = Lane(Listener("g", "t", self.queue), self)
        self.said: list[tuple[int, bytes]] = []
        self.handled: list[int] = []
        self.not_before: dict[bytes, float] = {}
        self.failed_rows: set[int] = set()
        self.under_way: list[tuple[Entry, ...]] = []

    # As the lane's outbox.

    is_behind = False

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        await anyio.sleep(0.001)
        return query(self.connection)

    def note_handled(self, topic: str, row_id: int, group: str) -> None:
        assert (topic, group) == ("t", "g")
        self.handled.append(row_id)

    # What happens.

    async def step(self, name: str, argument: Any) -> None:
        match name:
            case "say":
                self._say([key.encode() for key in argument])
            case "take":
                await self._take(argument)
            case "sleep":
                await anyio.sleep(argument)
            case _ if argument < len(self.under_way):
                self._end(self.under_way.pop(argument), is_done=name == "done")
        assert len(self.queue) <= MESSAGES_MAX
        await anyio.sleep(0.1)  # time enough to read

    def _say(self, keys: list[bytes]) -> None:
        first = len(self.said) + 1
        outbox.add(self.connection, [Message("t", key, b"") for key in keys], NOW)
        self.said += enumerate(keys, first)
        self.lane.extend(len(self.said))

    def _end(self, entries: tuple[Entry, ...], *, is_done: bool) -> None:
        if is_done:
            for entry in entries:
                self.lane.done(entry)
        else:
            at = anyio.current_time() + PAUSE_SECONDS
            self.not_before |= {entry.message.key: at for entry in entries}
            self.failed_rows |= {entry.row_id for entry in entries}
            self.lane.failed(entries, at)
        self.queue.release(entries)

    async def _take(self, batch_max: int) -> None:
        free, for_a_while = self._free_keys(), self._free_keys(0.05)
        taken: tuple[Entry, ...] = ()
        with anyio.move_on_after(0.0001):
            taken = tuple(await self.queue.take(batch_max))
        # However many rows wait behind others: a key that waits for nothing is at hand, unless
        # all the room is taken by what is under way.
        if for_a_while and self.queue.room >= MESSAGES_MAX // 2:
            assert taken
        if not taken:
            return
        keys = [entry.message.key for entry in taken]
        assert set(keys) <= free
        assert len(taken) == 1 or not self.failed_rows & {entry.row_id for entry in taken}
        for key in set(keys):
            rows = [entry.row_id for entry in taken if entry.message.key == key]
            assert rows == self._waiting(key)[: len(rows)]
        self.under_way.append(taken)

    def _waiting(self, key: bytes) -> list[int]:
        return [row for row, of in self.said if of == key and row not in self.handled]

    def _free_keys(self, seconds: float = 0.0) -> set[bytes]:
        """Return the keys with something to handle whose turn came so long ago."""
        now = anyio.current_time() - seconds
        taken = {entry.message.key for several in self.under_way for entry in several}
        return {
            key
            for _, key in self.said
            if key not in taken and self._waiting(key) and self.not_before.get(key, 0.0) <= now
        }

    async def finish(self) -> None:
        """Handle everything: nothing may have been lost on the way."""
        while self.under_way:
            await self.step("done", 0)
        await anyio.sleep(PAUSE_SECONDS)
        while len(self.handled) < len(self.said):
            await self.step("take", 4)
            assert self.under_way
            await self.step("done", 0)


AGAIN_BEFORE_MORE = [("say", "a"), ("take", 1), ("fail", 0), ("say", "aa")] + 2 * [
    ("sleep", 1),
    ("take", 1),
    ("fail", 0),
]
"""A key waits, gets further rows, and its first one fails again."""


@settings(max_examples=300, deadline=None)
@example(AGAIN_BEFORE_MORE)
@given(st.lists(steps, max_size=40))
def test_a_key_that_waits_holds_up_itself_alone(plan: list[tuple[str, Any]]) -> None:
    """However rows are said, taken, handled and failed, and however many wait behind a key that is
    to be tried again: keys whose turn it is are handed out within the queue's bounds, each key's
    rows in order, what failed alone and not before its time, and all are handled once."""

    async def main() -> None:
        world = World()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.lane.run)
            for name, argument in plan:
                await world.step(name, argument)
            await world.finish()
            tasks.cancel_scope.cancel()

        assert sorted(world.handled) == [row for row, _ in world.said]

    run_virtually(main)
