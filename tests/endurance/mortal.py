"""Tasks that can be made to fail at the very await where they stand."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeAlias, cast

from anyio._backends import _asyncio

from huleedu.core.background import BackgroundTasks

AnyWork: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]


class PlantedFault(Exception):
    """What a doomed task raises."""


class Mortal:
    """An awaitable like the one it wraps, until it is doomed: then that one is thrown a fault."""

    def __init__(self, work: Awaitable[object]) -> None:
        self._work = work
        self._task: asyncio.Task[Any] | None = None
        self._doomed = False

    def doom(self) -> None:
        """Have the task fail where it waits; on the event loop's own thread."""
        assert self._task is not None
        self._doomed = True
        self._task.cancel()

    def __await__(self) -> Generator[Any, None, object]:
        self._task = asyncio.current_task()
        steps = self._work.__await__()
        error: BaseException | None = None
        while True:
            try:
                waits_for = steps.send(None) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            error = None
            try:
                yield waits_for
            except BaseException as other:  # noqa: BLE001 - handed on to the work itself
                error = self._fault() if self._doomed else other

    def _fault(self) -> PlantedFault:
        assert self._task is not None
        self._doomed = False
        self._task.uncancel()
        return PlantedFault("planted by a test")


class Tasks:
    """Every task that code of the program starts and that is alive, by a name that says which."""

    def __init__(self) -> None:
        self._alive: dict[str, list[Mortal]] = {}

    def watch(self) -> None:
        """Make every task mortal that is started from now on."""
        started = _asyncio.TaskGroup.start_soon
        start_background = BackgroundTasks.start
        tasks = self

        def start_soon(
            group: _asyncio.TaskGroup,
            work: Callable[..., Awaitable[object]],
            *args: Any,
            **more: Any,
        ) -> None:
            name = _name(work)
            if name is None:
                started(group, cast(AnyWork, work), *args, **more)
            else:
                started(group, partial(tasks._run, name, partial(work, *args)), **more)

        def start(group: BackgroundTasks, name: str, run: Callable[[], Awaitable[object]]) -> None:
            start_background(group, name, partial(tasks._run, f"background task {name}", run))

        setattr(_asyncio.TaskGroup, "start_soon", start_soon)  # noqa: B010 - final for subclasses
        setattr(BackgroundTasks, "start", start)  # noqa: B010

    def names(self) -> list[str]:
        """Return the names of those that are alive, each once."""
        return sorted(self._alive)

    def doom(self, name: str) -> None:
        """Have the first task of this name fail."""
        self._alive[name][0].doom()

    async def _run(self, name: str, work: Callable[[], Awaitable[object]]) -> object:
        mortal = Mortal(work())
        self._alive.setdefault(name, []).append(mortal)
        try:
            return await mortal
        finally:
            self._alive[name].remove(mortal)
            if not self._alive[name]:
                del self._alive[name]


def _name(work: Callable[..., object]) -> str | None:
    """Return how a task of the program is called; None for those of libraries."""
    while isinstance(work, partial):
        work = work.func
    module: str = getattr(work, "__module__", "") or ""
    if not module.startswith("huleedu.") or work.__qualname__ == "BackgroundTasks._watch":
        return None
    return f"{module.removeprefix('huleedu.')}: {work.__qualname__}"
