"""The queue of one group on one topic, under every order of events."""

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.message import Message
from huleedu.transport.memory_queue import Entry, TopicQueue
from tests.support.virtual_time import run_virtually

steps = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("abc")),
    st.tuples(st.just("put"), st.sampled_from("abc")),
    st.tuples(st.just("take"), st.integers(1, 4)),
    st.tuples(st.just("take"), st.integers(1, 4)),
    st.tuples(st.just("done"), st.integers(0, 3)),
    st.tuples(st.just("fail"), st.integers(0, 3)),
    st.tuples(st.just("sleep"), st.integers(0, 5)),
)
MESSAGES_MAX = 6


class Model:
    """Puts, takes, ends and fails deliveries of one queue, and checks what must hold each time."""

    def __init__(self) -> None:
        self.queue = TopicQueue(MESSAGES_MAX)
        self.put: list[Message] = []
        self.under_way: list[tuple[Entry, ...]] = []
        self.handled: list[Message] = []
        self.acknowledged: list[Message] = []

    async def step(self, name: str, argument: Any) -> None:
        match name:
            case "put":
                await self._put(argument)
            case "take":
                with anyio.move_on_after(0.0001):
                    self._check_taken(tuple(await self.queue.take(argument)), argument)
            case "sleep":
                await anyio.sleep(argument)
            case _ if argument < len(self.under_way):
                entries = self.under_way.pop(argument)
                if name == "done":
                    self.handled += [entry.message for entry in entries]
                    self.queue.done(entries)
                else:
                    self.queue.put_back(entries, anyio.current_time() + 2.0)
        assert self.acknowledged == self.handled
        assert len(self.queue) == len(self.put) - len(self.handled) <= MESSAGES_MAX

    async def _put(self, key: str) -> None:
        message = Message("t", key.encode(), str(len(self.put)).encode())
        entry = Entry(message, lambda: self.acknowledged.append(message))
        full = len(self.queue) == MESSAGES_MAX
        with anyio.move_on_after(0.0001) as waited:
            await self.queue.put(entry)
            self.put.append(message)
        assert waited.cancelled_caught is full

    def _check_taken(self, entries: tuple[Entry, ...], batch_max: int) -> None:
        assert 1 <= len(entries) <= batch_max
        elsewhere = {entry.message.key for several in self.under_way for entry in several}
        assert elsewhere.isdisjoint(entry.message.key for entry in entries)
        # Whatever failed before comes alone, and not before its time.
        assert len(entries) == 1 or all(entry.attempt == 1 for entry in entries)
        assert all(entry.not_before <= anyio.current_time() for entry in entries)
        for key in {entry.message.key for entry in entries}:
            waiting = [m for m in self.put if m.key == key and m not in self.handled]
            taken = [entry.message for entry in entries if entry.message.key == key]
            assert taken == waiting[: len(taken)]
        self.under_way.append(entries)

    async def finish(self) -> None:
        """Handle everything: nothing may have been lost on the way."""
        while self.under_way:
            await self.step("done", 0)
        while len(self.handled) < len(self.put):
            with anyio.fail_after(60):
                self._check_taken(tuple(await self.queue.take(4)), 4)
            await self.step("done", 0)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=40))
def test_keys_are_never_shared_orders_kept_and_nothing_lost(plan: list[tuple[str, Any]]) -> None:
    """However puts, deliveries, failures and pauses interleave: no two deliveries hold one key,
    each key's messages come in order, the queue stays in its bounds, and all are handled."""

    async def main() -> None:
        model = Model()
        for name, argument in plan:
            await model.step(name, argument)
        await model.finish()

        assert sorted(m.value for m in model.handled) == sorted(m.value for m in model.put)

    run_virtually(main)


def test_a_pause_ends_by_itself() -> None:
    """A message that waits for its next attempt is delivered when that time comes, though
    nothing else happens meanwhile."""

    async def main() -> tuple[float, int]:
        queue = TopicQueue(5)
        await queue.put(Entry(Message("t", b"a", b"1"), lambda: None))
        queue.put_back(await queue.take(5), anyio.current_time() + 3.0)
        with anyio.fail_after(10):
            (entry,) = await queue.take(5)
        return anyio.current_time(), entry.attempt

    at, attempt = run_virtually(main)

    assert attempt == 2
    assert at == pytest.approx(3.0, abs=0.01)


def test_a_pause_that_ends_between_two_looks_at_the_clock_is_not_slept_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Time that passes while the queue is searched makes nobody wait for ever."""

    async def main() -> int:
        queue = TopicQueue(5)
        await queue.put(Entry(Message("t", b"a", b"1"), lambda: None))
        queue.put_back(await queue.take(5), anyio.current_time() + 0.5)
        # From here on each look at the clock finds it a little later.
        ticks = iter(number * 0.4 for number in range(1, 1000))
        monkeypatch.setattr(
            "huleedu.transport.memory_queue.anyio.current_time", lambda: next(ticks)
        )
        (entry,) = await queue.take(5)
        return entry.attempt

    assert run_virtually(main) == 2


def test_a_closed_queue_abandons_what_waits_and_what_comes() -> None:
    """After a close nothing is handed out; each message that was not handled is abandoned once,
    whether it waited, was under way and failed, or came later, and no put waits any more; one that
    was under way and succeeds is acknowledged."""

    async def main() -> tuple[list[bytes], list[bytes]]:
        queue = TopicQueue(4)
        acknowledged: list[bytes] = []
        abandoned: list[bytes] = []

        async def put(key: bytes) -> None:
            message = Message("t", key, b"")
            await queue.put(
                Entry(message, lambda: acknowledged.append(key), lambda: abandoned.append(key))
            )

        for key in (b"succeeds", b"fails", b"waits", b"waits too"):
            await put(key)
        first, second = await queue.take(1), await queue.take(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(put, b"found it full")
            await anyio.lowlevel.checkpoint()
            queue.close()
        queue.done(first)
        queue.put_back(second, anyio.current_time())
        for _ in range(9):
            await put(b"late")
        with anyio.move_on_after(1000):
            await queue.take(5)
            raise AssertionError("a closed queue handed something out")
        assert len(queue) == 0
        return acknowledged, abandoned

    acknowledged, abandoned = run_virtually(main)

    assert acknowledged == [b"succeeds"]
    assert abandoned[:2] == [b"waits", b"waits too"]
    assert sorted(abandoned[2:]) == sorted([b"fails", b"found it full", *[b"late"] * 9])
