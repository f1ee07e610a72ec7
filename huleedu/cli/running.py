"""Running a short-lived command so that it ends in order, whatever ends it."""

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


def run_to_end(work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work`` on an event loop of its own; Ctrl-C and SIGTERM cancel it.

    What it holds is given back, then ``KeyboardInterrupt`` is raised, for SIGTERM too.
    """

    async def guarded() -> T:
        # The event loop's own handler of Ctrl-C, which cancels the main task.
        previous = signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
        try:
            return await work()
        finally:
            signal.signal(signal.SIGTERM, previous)

    return anyio.run(guarded)
