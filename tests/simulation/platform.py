"""Clock, identifiers, randomness and threads of a simulated process."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar
from uuid import UUID

import anyio

from huleedu.core.platform import Platform
from tests.simulation.loop import SimulatedLoop
from tests.simulation.stores import Killed

T = TypeVar("T")

START = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
LONG_SECONDS = 3_600.0
_AT_ONCE = 0.6  # of all hops take no time at all
_SOON = 0.95  # and all but these few take a short one
_SOON_SECONDS = 0.004
_LATE_SECONDS = 0.15


class WallClock:
    """One clock for all processes of the host; a person or a daemon may set it."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self._offset = timedelta()
        self._furthest = timedelta()
        self._jumped = anyio.Event()
        self.has_jumped = False

    def jump(self, seconds: float) -> None:
        """Be set to another time; who sleeps for long looks what it is."""
        jumped, self._jumped = self._jumped, anyio.Event()
        jumped.set()
        self.has_jumped = True
        self._offset += timedelta(seconds=seconds)
        self._furthest = max(self._furthest, self._offset)

    def put_right(self) -> None:
        """Never again be before a time that was told: then every deadline passes soon."""
        self._offset = self._furthest

    def be_past(self, moment: datetime | None) -> None:
        """Never again be before this moment."""
        if moment is not None and moment >= self.now():
            self._offset += moment - self.now() + timedelta(seconds=1)

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.now) + self._offset

    def monotonic(self) -> float:
        return self._loop.now

    async def sleep(self, seconds: float) -> None:
        if seconds < LONG_SECONDS:
            await anyio.sleep(seconds)
            return
        with anyio.move_on_after(seconds):
            await self._jumped.wait()


class SeededIds:
    """The same identifiers in every run of a seed."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def new(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)


class SimulatedThreads:
    """Runs blocking work as a whole at a seeded later moment; its end is told later still."""

    def __init__(self, loop: SimulatedLoop, random: Random, killed: Callable[[], None]) -> None:
        self._loop = loop
        self._random = random
        self._killed = killed

    async def thread(self, work: Callable[[], T]) -> T:
        await anyio.lowlevel.checkpoint_if_cancelled()
        answer: asyncio.Future[T] = self._loop.create_future()
        self._later(self._run, work, answer)
        with anyio.CancelScope(shield=True):  # as with a real thread
            await answer
        return answer.result()

    def _run(self, work: Callable[[], T], answer: "asyncio.Future[T]") -> None:
        try:
            result = work()
        except Killed:
            self._killed()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            self._later(_fail, answer, error)
        else:
            self._later(_resolve, answer, result)

    def _later(self, call: Callable[..., None], *args: object) -> None:
        drawn = self._random.random()
        if drawn < _AT_ONCE:
            self._loop.call_soon(call, *args)
        else:
            longest = _SOON_SECONDS if drawn < _SOON else _LATE_SECONDS
            self._loop.call_later(self._random.random() * longest, call, *args)


def _resolve(answer: "asyncio.Future[object]", result: object) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: "asyncio.Future[object]", error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)


def simulated_platform(
    loop: SimulatedLoop, clock: WallClock, random: Random, killed: Callable[[], None]
) -> Platform:
    """Return what a process of this world stands on; all of it follows from ``random``."""
    ids, jitter = Random(random.getrandbits(64)), Random(random.getrandbits(64))
    hops = SimulatedThreads(loop, random, killed)
    return Platform(clock=clock, ids=SeededIds(ids), random=jitter, hops=hops)
