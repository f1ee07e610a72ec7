"""Stopping, and rows that nobody announced, in a time of the test's own."""

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio

from huleedu.core.hops import Hops
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.outbox import outbox_migrations
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS
from huleedu.transport.memory import STOP_SECONDS_MAX, MemoryTransport
from huleedu.transport.protocol import Delivery
from tests.support.consumers import Recorder
from tests.support.virtual_time import LoopClock, run_virtually, virtual_platform
from tests.transport.bus import group, raw, until

T = TypeVar("T")
LOOK_SECONDS = 5.0  # how long a row may lie before the relay looks by itself


async def _store(folder: Path, name: str, hops: Hops) -> Database:
    migrations = DEAD_LETTER_MIGRATIONS if name == "dead" else (outbox_migrations,)
    store = Database(folder / f"{name}.db", migrations, hops)
    await store.open()
    return store


def _on_stores(main: Callable[[Path], Awaitable[T]]) -> T:
    with tempfile.TemporaryDirectory() as folder:
        return run_virtually(main, Path(folder))


def test_a_handler_that_does_not_end_is_left_after_five_seconds() -> None:
    """A stop waits for the message in hand, but not for ever, and its row comes again."""

    async def hang(_: Delivery) -> None:
        await anyio.sleep_forever()

    async def main(folder: Path) -> tuple[float, int]:
        platform = virtual_platform()
        sender = await _store(folder, "sender", platform.hops)
        await sender.write(lambda db: outbox.add(db, [raw("a", 1)], platform.clock.now()))
        transport = MemoryTransport(platform, await _store(folder, "dead", platform.hops))
        recorder = Recorder(hang)
        transport.subscribe(group("g", recorder))
        transport.relay(sender)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transport.run)
            await anyio.sleep(1)
            assert len(recorder.deliveries) == 1
            before = anyio.current_time()
            tasks.cancel_scope.cancel()
        count, _ = await sender.read(outbox.backlog)
        return anyio.current_time() - before, count

    seconds, waiting = _on_stores(main)

    assert STOP_SECONDS_MAX <= seconds < STOP_SECONDS_MAX + 0.1
    assert waiting == 1


def test_rows_of_another_process_are_found() -> None:
    """A row whose commit nobody told the relay of is published with the next look."""

    async def main(folder: Path) -> float:
        platform = virtual_platform()
        ours = await _store(folder, "shared", platform.hops)
        theirs = await _store(folder, "shared", platform.hops)
        transport = MemoryTransport(platform, await _store(folder, "dead", platform.hops))
        recorder = Recorder()
        transport.subscribe(group("g", recorder))
        transport.relay(ours)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transport.run)
            await anyio.sleep(1)
            said_at = anyio.current_time()
            await theirs.write(lambda db: outbox.add(db, [raw("a", 1)], LoopClock().now()))
            await until(lambda: bool(recorder.handled))
            tasks.cancel_scope.cancel()
        return recorder.at[0] - said_at

    assert _on_stores(main) <= LOOK_SECONDS
