"""An event loop whose time passes only while everybody waits: hours in milliseconds."""

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import anyio

from huleedu.core.platform import Platform
from tests.support.simulated import InlineHops, SeededIds

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Never waits; what would have been waited is added to the time instead."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits for somebody else")
        if not ready and timeout is not None:
            self.passed += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs what is ready in order; with the same seed everything happens the same way again."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.passed


class LoopClock:
    """The loop's time, as a wall clock and as one that never goes back."""

    START = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


def virtual_platform(seed: int = 1) -> Platform:
    """Must be made inside :func:`run_virtually`; blocking work is done where it stands."""
    return Platform(
        clock=LoopClock(), ids=SeededIds(seed), random=random.Random(seed), hops=InlineHops()
    )


def run_virtually(main: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run ``main`` to its end on a loop of its own; fails when everybody waits for ever."""
    return anyio.run(
        main, *args, backend="asyncio", backend_options={"loop_factory": VirtualTimeLoop}
    )
