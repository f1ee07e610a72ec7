"""A platform whose clock, ids and randomness a test controls; threads are plain calls."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import anyio

from huleedu.core.platform import Platform

T = TypeVar("T")


class FakeClock:
    """Stands still until it is moved; sleeping moves it."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        await anyio.lowlevel.checkpoint()


class SeededIds:
    """The same identifiers in every run."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def new(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)


class InlineHops:
    """Runs blocking work where it stands."""

    async def thread(self, work: Callable[[], T]) -> T:
        await anyio.lowlevel.checkpoint()
        return work()


def simulated_platform(seed: int = 1, clock: FakeClock | None = None) -> Platform:
    return Platform(
        clock=clock or FakeClock(),
        ids=SeededIds(seed),
        random=random.Random(seed),
        hops=InlineHops(),
    )
