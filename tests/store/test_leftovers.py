"""What a store refuses leaves nothing behind: no circle holds the request that asked for it."""

import sqlite3
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from huleedu.core.errors import HuleEduError, StoreUnavailable
from huleedu.store.database import Database
from tests.support.garbage import Held, let_go, no_collector
from tests.support.stores import note_store, write_note

pytestmark = pytest.mark.anyio

Ask = Callable[[Database], Awaitable[object]]


class Refused(HuleEduError):
    """Raised by the work itself."""


def refuse(_connection: sqlite3.Connection) -> None:
    raise Refused("not so")


async def refused_with(ask: Ask, store: Database, error: type[Exception]) -> weakref.ref[Held]:
    held = Held()
    with pytest.raises(error):
        await ask(store)
    return weakref.ref(held)


@pytest.mark.parametrize("ask", [lambda s: s.read(refuse), lambda s: s.write(refuse)])
async def test_what_is_refused_keeps_nothing_of_its_caller(tmp_path: Path, ask: Ask) -> None:
    """Thousands of refusals between two rounds of the collector would keep as many requests."""
    async with note_store(tmp_path / "s.db") as store:
        await store.write(write_note("one"))
        with no_collector():
            await let_go(await refused_with(ask, store, Refused))


async def test_writes_that_fail_together_keep_nothing_of_their_callers(tmp_path: Path) -> None:
    """They share one error, and each lets go of it."""
    path, kept = tmp_path / "s.db", []

    async def ask() -> None:
        kept.append(await refused_with(lambda s: s.write(write_note("x")), store, StoreUnavailable))

    async with note_store(path) as store:
        path.rename(tmp_path / "elsewhere.db")
        with no_collector():
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(ask)
            for held in kept:
                await let_go(held)
    assert len(kept) == 3
