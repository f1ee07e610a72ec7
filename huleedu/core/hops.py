"""Leaving the event loop, as something handed in: threads here, plain calls in a simulation."""

import traceback
from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio.to_thread

T = TypeVar("T")


class Hops(Protocol):
    """Runs blocking work without blocking the event loop."""

    async def thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread; what it raises is raised here.

        Cancellation waits for the work to end: an effect is never left half known.
        """
        ...


class ThreadHops:
    """Worker threads of anyio, at most ``threads_max`` at once.

    Must be made inside a running event loop.
    """

    def __init__(self, threads_max: int = 16) -> None:
        self._limiter = anyio.CapacityLimiter(threads_max)

    async def thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a worker thread."""
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        except BaseException as error:
            # One of anyio's frames refers to a future that refers to the error: a circle, which
            # would keep the whole request, some 80 objects and 12 KiB (measured), until the
            # collector comes by.  What the frames held is of no use any more.
            traceback.clear_frames(error.__traceback__)
            raise
