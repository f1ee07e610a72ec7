"""How a stream waits, on a loop whose time passes by itself: no longer than it may."""

from contextlib import aclosing
from itertools import pairwise
from typing import cast

import anyio

from huleedu.results.stream import (
    HEARTBEAT,
    POLL_SECONDS,
    Commits,
    ProgressReader,
    Slice,
    _changes,
    _woken,
)
from tests.support.virtual_time import LoopClock, run_virtually

HEARTBEAT_SECONDS = 15.0


class NothingNew:
    """A reader that finds nothing, and notes when it looked."""

    def __init__(self) -> None:
        self.looked: list[float] = []

    async def after(self, last: int, *, always: bool) -> Slice:
        self.looked.append(anyio.current_time())
        return Slice((), None)


class NoCommits:
    """A store in which this process commits nothing."""

    def next(self) -> anyio.Event:
        return anyio.Event()


def test_it_looks_now_and_then_and_shows_that_it_is_alive() -> None:
    """Another process may have written; a reader may wait in vain on a dead connection."""

    async def main() -> tuple[list[float], list[float]]:
        reader, beats = NothingNew(), list[float]()
        changes = _changes(
            cast(ProgressReader, reader),
            0,
            cast(Commits, NoCommits()),
            LoopClock(),
            anyio.Event(),
            HEARTBEAT_SECONDS,
        )
        async with aclosing(changes):
            async for change in changes:
                assert change == HEARTBEAT
                beats.append(anyio.current_time())
                if len(beats) == 3:
                    break
        return reader.looked, beats

    looked, beats = run_virtually(main)

    pauses = [later - earlier for earlier, later in pairwise(looked)]
    assert max(pauses) <= POLL_SECONDS
    assert beats == [HEARTBEAT_SECONDS, 2 * HEARTBEAT_SECONDS, 3 * HEARTBEAT_SECONDS]


def test_waiting_ends_when_the_process_is_to_stop() -> None:
    """At once, and not at the next look."""

    async def main() -> tuple[bool, float]:
        stopping = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def stop() -> None:
                await anyio.sleep(1)
                stopping.set()

            tasks.start_soon(stop)
            was_commit = await _woken(anyio.Event(), stopping, LoopClock(), 1_000)
        return was_commit, anyio.current_time()

    assert run_virtually(main) == (False, 1.0)
