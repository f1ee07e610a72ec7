"""An event loop that does nothing by itself: time, threads and crashes are the simulation's.

What is ready runs in the order in which it became ready, as on a real loop.  When nothing is
ready, time goes on to the next timer.  Everything that runs belongs to a simulated process, or to
the world outside of all of them.
"""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

import sniffio
from anyio._backends import _asyncio

T = TypeVar("T")


class Stuck(AssertionError):
    """Everybody waits for somebody else."""


class TooManySteps(AssertionError):
    """The run does not come to an end."""


class Realm:
    """Whom a step of the loop belongs to: a simulated process, or the world around them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.frozen: deque[asyncio.Handle] | None = None
        """Steps that wait until it thaws; None: it is not frozen."""
        self.tasks: list[SimulatedTask] = []


WORLD = Realm("world")
REALM: ContextVar[Realm] = ContextVar("realm", default=WORLD)


class SimulatedTask(asyncio.Task[Any]):
    """A task whose place in a set follows from its number, not from where it is in memory."""

    number = 0

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs everything of one run, and only inside of :meth:`run`."""

    _ready: "deque[asyncio.Handle]"
    _scheduled: "list[asyncio.TimerHandle]"

    def __init__(self, steps_max: int) -> None:
        super().__init__()
        self.now = 0.0
        self.steps = 0
        self.steps_max = steps_max
        self.before_step: Callable[[Realm], bool] | None = None
        """Asked before each step: true, and the step is not done."""
        self._tasks_made = 0
        self.unhandled: list[dict[str, Any]] = []
        self.set_task_factory(self._make_task)
        self.set_exception_handler(lambda _loop, context: self.unhandled.append(context))

    def time(self) -> float:
        return self.now

    def _process_events(self, event_list: Any) -> None:
        raise NotImplementedError("nothing comes from outside of the simulation")

    def _write_to_self(self) -> None:
        """Nobody sleeps, so nobody is woken."""

    def _make_task(
        self,
        _loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        context: Context | None = None,
    ) -> SimulatedTask:
        task = SimulatedTask(work, loop=self, context=context)
        self._tasks_made += 1
        task.number = self._tasks_made
        realm = REALM.get() if context is None else context.get(REALM, WORLD)
        realm.tasks.append(task)
        return task

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run ``main`` to its end, and whatever else is started meanwhile until then."""
        asyncio.events._set_running_loop(self)
        try:
            with _numbered_scopes():
                task = self.create_task(main)
                while not task.done():
                    self._step()
                return task.result()
        finally:
            asyncio.events._set_running_loop(None)

    def _step(self) -> None:
        ready = self._ready
        if not ready:
            self._pass_time()
        handle = ready.popleft()
        if handle._cancelled:
            return
        realm: Realm = handle._context.get(REALM, WORLD)  # type: ignore[attr-defined]
        if realm.is_dead:
            return
        if realm.frozen is not None:
            realm.frozen.append(handle)
            return
        self.steps += 1
        if self.steps > self.steps_max:
            raise TooManySteps(f"{self.steps_max} steps were not enough")
        if self.before_step is not None and self.before_step(realm):
            return
        handle._run()

    def _pass_time(self) -> None:
        scheduled, ready = self._scheduled, self._ready
        while not ready:
            if not scheduled:
                raise Stuck("everybody waits for somebody else")
            timer = heapq.heappop(scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]
            if timer._cancelled:
                continue
            self.now = max(self.now, timer.when())
            ready.append(timer)
            while scheduled and scheduled[0].when() <= self.now:
                timer = heapq.heappop(scheduled)
                timer._scheduled = False  # type: ignore[attr-defined]
                if not timer._cancelled:
                    ready.append(timer)

    def thaw(self, realm: Realm) -> None:
        """Let a frozen realm go on."""
        waiting, realm.frozen = realm.frozen, None
        self._ready.extend(waiting or ())

    def bury(self, realms: list[Realm]) -> None:
        """Let go of tasks that will never go on, without a word about them.

        What their ``finally`` blocks would still do reaches nobody any more.
        """
        asyncio.events._set_running_loop(self)
        try:
            for realm in realms:
                for task in realm.tasks:
                    if not task.done():
                        _end(task)
                realm.tasks.clear()
        finally:
            # The numbers of tasks begin anew, and asyncio keeps all tasks in one set.
            asyncio.tasks._all_tasks.data.clear()  # type: ignore[attr-defined]
            _asyncio._task_states.data.clear()  # type: ignore[attr-defined]
            self._ready.clear()
            self._scheduled.clear()
            asyncio.events._set_running_loop(None)


def in_realm(realm: Realm, work: Callable[[], T]) -> T:
    """Call ``work`` as a part of this realm; tasks that it starts belong there too."""
    context = copy_context()
    context.run(REALM.set, realm)
    return context.run(work)


def _end(task: SimulatedTask) -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    work = task.get_coro()
    for _ in range(8):  # each time it may await something in another ``finally``
        try:
            work.close()
        except BaseException:  # noqa: BLE001 - whatever it says, it is dead
            continue
        return


class _NumberedScope(_asyncio.CancelScope):
    """A cancel scope whose place in a set does not follow from where it is in memory."""

    made = 0

    def __init__(self, deadline: float = math.inf, shield: bool = False) -> None:
        super().__init__(deadline, shield)
        _NumberedScope.made += 1
        self._number = _NumberedScope.made

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


@contextmanager
def _numbered_scopes() -> Iterator[None]:
    real = _asyncio.CancelScope
    sniffio.thread_local.name = "asyncio"  # else it is found out anew at every turn
    _NumberedScope.made = 0
    _asyncio.CancelScope = _NumberedScope  # type: ignore[misc]
    try:
        yield
    finally:
        _asyncio.CancelScope = real  # type: ignore[misc]
        sniffio.thread_local.name = None
