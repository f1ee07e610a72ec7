"""Tasks that run for as long as the process does, and what happens when one dies."""

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from huleedu.core.errors import TaskDied
from huleedu.core.logging import create_service_logger

_LOG = create_service_logger("background")

LINGER_SECONDS = 3.0
"""How long the rest may go on after a task has died: long enough for a probe of readiness to see
it and for requests in hand to end, short enough that the process is gone within 5 s."""


class BackgroundTasks:
    """A group of named tasks; when one ends on its own, the whole group does, with an error.

    ::

        async with BackgroundTasks(on_death=stop.set) as tasks:
            tasks.start("relay", relay.run)
            await serve(..., stop=stop)

    A task that raises, or returns though it should run for ever, is told by :meth:`troubles` at
    once, and ``on_death`` is called.  At most ``linger_seconds`` later the body of the ``async
    with`` and all other tasks are cancelled, and ``TaskDied`` is raised from the task's own error.
    When the body ends by itself, the tasks are cancelled and nothing is raised.
    """

    def __init__(
        self,
        on_death: Callable[[], None] = lambda: None,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._on_death = on_death
        self._linger_seconds = linger_seconds
        self._group: TaskGroup
        self._dead: list[TaskDied] = []

    async def __aenter__(self) -> Self:
        self._group = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._group.cancel_scope.cancel()
        if isinstance(error, Exception):
            # The body's own error leaves as it is, not wrapped in a group of exceptions.
            await self._group.__aexit__(None, None, None)
            return False
        swallowed = await self._group.__aexit__(kind, error, traceback)
        if self._dead and (error is None or swallowed):
            raise self._dead[0]
        return swallowed

    def start(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        """Run ``run()`` beside the rest until the group ends; ``name`` is what troubles call it."""
        self._group.start_soon(self._watch, name, run, name=name)

    def troubles(self) -> Sequence[str]:
        """Return a sentence for each dead task: the reasons why the process is not ready."""
        return [str(died) for died in self._dead]

    async def _watch(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        # One of the two places that catch everything: the failure must be seen before the end.
        try:
            await run()
        except Exception as error:  # noqa: BLE001
            died = TaskDied(f"the background task {name} died: {type(error).__name__}: {error}")
            died.__cause__ = error
        else:
            died = TaskDied(f"the background task {name} ended though it must not")
        first = not self._dead
        self._dead.append(died)
        _LOG.critical("background_task_died", task=name, exc_info=died)
        if first:
            self._on_death()
            await anyio.sleep(self._linger_seconds)
            self._group.cancel_scope.cancel()
