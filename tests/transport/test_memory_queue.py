"""The queue of one group on one topic, under every order of events."""

from collections.abc import Sequence
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.message import Message
from huleedu.transport.memory_queue import Entry, TopicQueue
from tests.support.virtual_time import run_virtually

steps = st.one_of(
    st.tuples(st.just("put"), st.tuples(st.sampled_from("abc"), st.booleans())),
    st.tuples(st.just("put"), st.tuples(st.sampled_from("abc"), st.booleans())),
    st.tuples(st.just("take"), st.integers(1, 4)),
    st.tuples(st.just("take"), st.integers(1, 4)),
    st.tuples(st.just("release"), st.integers(0, 3)),
    st.tuples(st.just("withdraw"), st.sampled_from("abc")),
)
MESSAGES_MAX = 6


class Nobody:
    """An origin that is told nothing here."""

    def done(self, entry: Entry) -> None:
        raise AssertionError("the queue tells no origin by itself")

    def failed(self, entries: Sequence[Entry], at: float) -> None:
        raise AssertionError("the queue tells no origin by itself")


class Model:
    """Puts, takes and releases entries of one queue, and checks what must hold each time."""

    def __init__(self) -> None:
        self.queue = TopicQueue(MESSAGES_MAX)
        self.origins = {"us": Nobody(), "them": Nobody()}
        self.waiting: list[Entry] = []
        self.under_way: list[tuple[Entry, ...]] = []
        self.number = 0

    async def step(self, name: str, argument: Any) -> None:
        match name:
            case "put" if self.queue.room:
                self._put(*argument)
            case "take":
                await self._take(argument)
            case "release" if argument < len(self.under_way):
                self.queue.release(self.under_way.pop(argument))
            case "withdraw":
                self._withdraw(argument.encode())
        held = len(self.waiting) + sum(map(len, self.under_way))
        assert len(self.queue) == held <= MESSAGES_MAX
        assert self.queue.room == MESSAGES_MAX - held

    def _put(self, key: str, alone: bool) -> None:
        self.number += 1
        origin = self.origins["us" if self.number % 3 else "them"]
        message = Message("t", key.encode(), str(self.number).encode())
        entry = Entry(origin, self.number, message, 2 if alone else 1)
        self.queue.put(entry)
        self.waiting.append(entry)

    def _withdraw(self, key: bytes) -> None:
        origin = self.origins["us"]
        expected = [e for e in self.waiting if e.origin is origin and e.message.key == key]
        assert list(self.queue.withdraw(origin, key)) == expected
        self.waiting = [entry for entry in self.waiting if entry not in expected]

    async def _take(self, batch_max: int) -> None:
        taken_keys = {entry.message.key for several in self.under_way for entry in several}
        expected = [e for e in self.waiting if e.message.key not in taken_keys]
        taken: tuple[Entry, ...] = ()
        with anyio.move_on_after(0.0001):
            taken = tuple(await self.queue.take(batch_max))
        assert bool(taken) is bool(expected)
        if not taken:
            return
        assert len(taken) <= batch_max
        assert taken_keys.isdisjoint(entry.message.key for entry in taken)
        assert len(taken) == 1 or all(entry.attempt == 1 for entry in taken)
        for key in {entry.message.key for entry in taken}:
            of_key = [entry for entry in taken if entry.message.key == key]
            assert of_key == [e for e in self.waiting if e.message.key == key][: len(of_key)]
        self.waiting = [entry for entry in self.waiting if entry not in taken]
        self.under_way.append(taken)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=40))
def test_keys_are_never_shared_orders_kept_and_nothing_lost(plan: list[tuple[str, Any]]) -> None:
    """However entries are put, taken, released and withdrawn: no two deliveries hold one key, each
    key's entries come in order, one that failed comes alone, something comes whenever something
    may, and the queue stays in its bounds."""

    async def main() -> None:
        model = Model()
        for name, argument in plan:
            await model.step(name, argument)

    run_virtually(main)


def test_a_release_is_told_and_lets_the_next_be_taken() -> None:
    """Whoever waits for a key that is under way gets its next message once it is released, and
    who fills the queue hears of it."""

    async def main() -> list[int]:
        queue = TopicQueue(5)
        told: list[int] = []
        taken: list[Entry] = []
        queue.when_freed(lambda: told.append(queue.room))
        for number in (1, 2):
            queue.put(Entry(Nobody(), number, Message("t", b"a", b"")))
        first = await queue.take(1)

        async def wait() -> None:
            taken.extend(await queue.take(1))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            assert taken == []
            queue.release(first)
        assert told == [4]
        return [entry.row_id for entry in taken]

    assert run_virtually(main) == [2]


def test_a_closed_queue_hands_out_nothing() -> None:
    """After a close nothing is handed out and there is no room; what is in hand can be released."""

    async def main() -> None:
        queue = TopicQueue(4)
        for number in (1, 2):
            queue.put(Entry(Nobody(), number, Message("t", str(number).encode(), b"")))
        first = await queue.take(1)
        queue.close()
        queue.release(first)
        assert (len(queue), queue.room) == (0, 0)
        with anyio.move_on_after(1000):
            await queue.take(5)
            raise AssertionError("a closed queue handed something out")

    run_virtually(main)
