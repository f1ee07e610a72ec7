"""``python -m tests.crash.planted serve …``: the program with a bug, which its checks must catch.

The environment's ``PLANTED`` names the bug.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from huleedu.bos.registrar import BatchRegistrar
from huleedu.cli.program import main
from huleedu.core.message import Message
from huleedu.files.intake import Intake
from huleedu.store import database, outbox, positions
from huleedu.store.database import Database
from huleedu.transport.event_progress import EventProgress
from huleedu.transport.kafka.partition_progress import PartitionProgress

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

PROGRAM = "tests.crash.planted"
ANSWERED_BEFORE_SECONDS = 0.3


def forget_the_disk(synchronous: str) -> None:
    """Writers wait for the disk only so much."""
    pragmas = (*database._WRITER_PRAGMAS, f"PRAGMA synchronous={synchronous}")
    setattr(database, "_WRITER_PRAGMAS", pragmas)  # noqa: B010 - final


def remove_dedupe() -> None:
    """What comes again counts again, and a member goes on from where the broker says."""

    def by_event(self: EventProgress, _connection: sqlite3.Connection) -> Sequence[Message]:
        return list(self._by_event_id.values())

    def by_position(self: PartitionProgress, _connection: sqlite3.Connection) -> Sequence[Message]:
        return self._messages

    setattr(EventProgress, "advance", by_event)  # noqa: B010
    setattr(PartitionProgress, "advance", by_position)  # noqa: B010
    setattr(positions, "read", lambda *_: None)  # noqa: B010
    setattr(positions, "move", lambda *_, **__: None)  # noqa: B010


class Hasty:
    """A store that tells what a write will return some time before it writes."""

    def __init__(self, store: Database) -> None:
        self._store = store
        self._later: set[asyncio.Task[object]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, work: "Work[T]") -> T:
        """Return what ``work`` would return now, and write later."""

        def undone(connection: sqlite3.Connection) -> T:
            raise _WouldReturn(work(connection))

        try:
            return await self._store.write(undone)
        except _WouldReturn as told:
            task = asyncio.create_task(self._write_later(work))
            self._later.add(task)
            task.add_done_callback(self._later.discard)
            result: T = told.result
            return result

    async def _write_later(self, work: "Work[Any]") -> object:
        await asyncio.sleep(ANSWERED_BEFORE_SECONDS)
        return await self._store.write(work)


class _WouldReturn(Exception):
    def __init__(self, result: Any) -> None:
        self.result = result


def answer_first() -> None:
    """A registration and an upload are answered some time before they are written."""
    for kind in (BatchRegistrar, Intake):
        set_up: Callable[..., None] = getattr(kind, "__init__")  # noqa: B009

        def hasty(
            self: Any, store: Database, *more: Any, _set_up: Callable[..., None] = set_up
        ) -> None:
            _set_up(self, Hasty(store), *more)

        setattr(kind, "__init__", hasty)  # noqa: B010


def forget_marks() -> None:
    """The relay notes nothing of what it published."""
    setattr(outbox, "mark_sent", lambda *_: None)  # noqa: B010


PLANTED: Mapping[str, Callable[[], None]] = MappingProxyType(
    {
        "dedupe-removed": remove_dedupe,
        "answered-before-written": answer_first,
        "marks-forgotten": forget_marks,
        "synchronous-normal": partial(forget_the_disk, "NORMAL"),
        "synchronous-off": partial(forget_the_disk, "OFF"),
    }
)
"""What is wrong → what makes it so in this process."""


def plant(bug: str | None) -> None:
    """Have this process be wrong in this way; None: in none."""
    if bug:
        PLANTED[bug]()


if __name__ == "__main__":
    plant(os.environ["PLANTED"])
    main()
