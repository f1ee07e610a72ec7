"""Writes that wait together share a commit, and nothing else."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from anyio.lowlevel import checkpoint

from huleedu.core.errors import Conflict, StoreUnavailable
from huleedu.core.hops import ThreadHops
from huleedu.store.database import GROUP_COMMIT_MAX, Database
from tests.support.eventually import eventually
from tests.support.stores import note_store, read_notes, write_note

pytestmark = pytest.mark.anyio
T = TypeVar("T")


class Gate:
    """Work that stops in its thread until it is let go."""

    def __init__(self, then: Callable[[sqlite3.Connection], str]) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()
        self._then = then

    def __call__(self, connection: sqlite3.Connection) -> str:
        self.entered.set()
        assert self.go.wait(10)
        return self._then(connection)


class DoorHops:
    """Threads behind a door: while it is shut, whoever wants one waits outside."""

    def __init__(self) -> None:
        self._threads = ThreadHops()
        self.open = anyio.Event()
        self.waiting = 0

    async def thread(self, work: Callable[[], T]) -> T:
        self.waiting += 1
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        return await self._threads.thread(work)


async def _until(condition: Callable[[], bool]) -> None:
    async def probe() -> bool:
        return condition()

    await eventually(probe, bool)


async def _settled() -> None:
    """Let every task go as far as it can without a thread."""
    for _ in range(50):
        await checkpoint()


async def test_writes_that_wait_together_share_one_commit(tmp_path: Path) -> None:
    """Twenty requests that come while one commits are on disk with the next commit, each with
    its own result."""
    async with note_store(tmp_path / "s.db") as store:
        commits: list[int] = []
        store.after_commit(lambda: commits.append(1))
        gate = Gate(write_note("first"))
        results: dict[str, str] = {}

        async def one(text: str) -> None:
            results[text] = await store.write(write_note(text))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.write, gate)
            await _until(gate.entered.is_set)
            for number in range(20):
                tasks.start_soon(one, f"n{number}")
            await _settled()
            gate.go.set()

        assert len(commits) == 2
        assert results == {f"n{number}": f"n{number}" for number in range(20)}
        assert len(await store.read(read_notes)) == 21


async def test_more_than_one_group_waits_in_order(tmp_path: Path) -> None:
    """When more wait than may share a commit, the rest takes the next one, in order of asking."""
    async with note_store(tmp_path / "s.db") as store:
        texts = [f"{number:04}" for number in range(2 * GROUP_COMMIT_MAX + 7)]
        async with anyio.create_task_group() as tasks:
            for text in texts:
                tasks.start_soon(store.write, write_note(text))

        assert await store.read(read_notes) == texts


async def test_one_that_fails_takes_nothing_of_its_neighbours_with_it(tmp_path: Path) -> None:
    """Each waiter gets its own exception or result, and only the failed one's changes are gone."""
    async with note_store(tmp_path / "s.db") as store:
        await store.write(write_note("taken"))
        outcomes: dict[str, object] = {}
        gate = Gate(write_note("first"))

        def half_done(connection: sqlite3.Connection) -> str:
            write_note("half")(connection)
            raise Conflict("not like this")

        def our_bug(connection: sqlite3.Connection) -> str:
            write_note("before the bug")(connection)
            connection.execute("SELEKT")
            return "never"

        def repeated(connection: sqlite3.Connection) -> str:
            write_note("before the repeat")(connection)
            return write_note("taken")(connection)

        async def one(name: str, work: Callable[[sqlite3.Connection], str]) -> None:
            try:
                outcomes[name] = await store.write(work)
            except (Conflict, sqlite3.Error) as fault:
                outcomes[name] = type(fault)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.write, gate)
            await _until(gate.entered.is_set)
            tasks.start_soon(one, "before", write_note("before"))
            tasks.start_soon(one, "half", half_done)
            tasks.start_soon(one, "bug", our_bug)
            tasks.start_soon(one, "repeat", repeated)
            tasks.start_soon(one, "after", write_note("after"))
            await _settled()
            gate.go.set()

        assert outcomes == {
            "before": "before",
            "half": Conflict,
            "bug": sqlite3.OperationalError,
            "repeat": sqlite3.IntegrityError,
            "after": "after",
        }
        assert await store.read(read_notes) == ["taken", "first", "before", "after"]


async def test_a_reader_sees_commits_only(tmp_path: Path) -> None:
    """While a transaction is under way a reader sees what was there before it, without waiting."""
    async with note_store(tmp_path / "s.db") as store:
        await store.write(write_note("old"))
        entered, go = threading.Event(), threading.Event()

        def slow(connection: sqlite3.Connection) -> None:
            write_note("new")(connection)
            entered.set()
            assert go.wait(10)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.write, slow)
            await _until(entered.is_set)
            seen = await store.read(read_notes)
            go.set()

        assert seen == ["old"]
        assert await store.read(read_notes) == ["old", "new"]


async def test_a_query_sees_one_snapshot(tmp_path: Path) -> None:
    """Two statements of one read see the same state, whatever is committed between them."""
    async with note_store(tmp_path / "s.db") as store:
        await store.write(write_note("one"))
        looked, go = threading.Event(), threading.Event()

        def twice(connection: sqlite3.Connection) -> tuple[list[str], list[str]]:
            before = read_notes(connection)
            looked.set()
            assert go.wait(10)
            return before, read_notes(connection)

        async def between() -> None:
            await _until(looked.is_set)
            await store.write(write_note("two"))
            go.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(between)
            seen = await store.read(twice)

        assert seen == (["one"], ["one"])


async def test_many_readers_at_once_share_few_connections(tmp_path: Path) -> None:
    """A hundred reads at once, while others write, each see the first note and never fail."""
    async with note_store(tmp_path / "s.db") as store:
        await store.write(write_note("0"))
        seen: list[str] = []

        async def look() -> None:
            seen.append((await store.read(read_notes))[0])

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(look)
                tasks.start_soon(store.write, write_note(str(number + 1)))

        assert seen == ["0"] * 100


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    """Only a write writes."""
    async with note_store(tmp_path / "s.db") as store:
        with pytest.raises(StoreUnavailable, match="readonly"):
            await store.read(write_note("sly"))

        assert await store.read(read_notes) == []


async def _start(store: Database, text: str, tasks: anyio.abc.TaskGroup) -> anyio.CancelScope:
    """Start a write that can be cancelled apart, and let it take its place in the queue."""
    scope = anyio.CancelScope()

    async def one() -> None:
        with scope:
            await store.write(write_note(text))

    tasks.start_soon(one)
    await _settled()
    return scope


async def test_a_leader_cancelled_before_its_thread_starts_leaves_the_others(
    tmp_path: Path,
) -> None:
    """The one who commits for all is cancelled while it waits for a thread: its own write never
    happens, the others' do."""
    hops = DoorHops()
    hops.open.set()
    async with note_store(tmp_path / "s.db", hops) as store:
        gate = Gate(write_note("first"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.write, gate)
            await _until(gate.entered.is_set)
            hops.open = anyio.Event()  # shut
            leader = await _start(store, "leader", tasks)
            await _start(store, "follower", tasks)
            await _start(store, "another", tasks)
            gate.go.set()
            await _until(lambda: hops.waiting == 1)
            leader.cancel()
            await _settled()
            hops.open.set()

        assert leader.cancelled_caught
        assert await store.read(read_notes) == ["first", "follower", "another"]


async def test_a_waiter_cancelled_before_its_turn_leaves_nothing(tmp_path: Path) -> None:
    """A request that is given up while another one commits is never carried out."""
    async with note_store(tmp_path / "s.db") as store:
        gate = Gate(write_note("first"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.write, gate)
            await _until(gate.entered.is_set)
            given_up = await _start(store, "given up", tasks)
            await _start(store, "kept", tasks)
            given_up.cancel()
            await _settled()
            gate.go.set()

        assert given_up.cancelled_caught
        assert await store.read(read_notes) == ["first", "kept"]


async def test_a_leader_cancelled_in_its_thread_waits_for_the_commit(tmp_path: Path) -> None:
    """Cancelled while its work runs, a writer leaves when the work is on disk, not before."""
    async with note_store(tmp_path / "s.db") as store:
        gate = Gate(write_note("done"))
        left = False
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def one() -> None:
                    nonlocal left
                    try:
                        await store.write(gate)
                    finally:
                        left = True

                tasks.start_soon(one)
                with anyio.CancelScope(shield=True):
                    await _until(gate.entered.is_set)
                    scope.cancel()
                    await _settled()
                    assert not left
                    gate.go.set()

        assert left
        assert await store.read(read_notes) == ["done"]


async def test_a_task_torn_away_from_its_thread_does_not_mix_two_transactions(
    tmp_path: Path,
) -> None:
    """A server that cancels tasks hard leaves a thread at work: the next write waits for it."""
    async with note_store(tmp_path / "s.db") as store:
        gate = Gate(write_note("torn"))
        torn = asyncio.get_running_loop().create_task(store.write(gate))
        await _until(gate.entered.is_set)
        torn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await torn
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.write, write_note("next"))
            await _settled()
            gate.go.set()

        assert await store.read(read_notes) == ["torn", "next"]
