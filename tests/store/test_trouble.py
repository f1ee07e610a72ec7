"""A store that cannot write or read says so, loses nothing, and heals by itself."""

import contextlib
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.errors import StoreUnavailable
from huleedu.core.hops import ThreadHops
from huleedu.store.database import Database
from huleedu.store.migrations import Migrations
from tests.support.stores import note_migrations, note_store, read_notes, write_note

pytestmark = pytest.mark.anyio
T = TypeVar("T")

HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.execute("COMMIT")
"""


@contextlib.contextmanager
def disk_full_above(size: int) -> Iterator[None]:
    """No file of this process grows past ``size`` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def locked_elsewhere(path: Path) -> Iterator[None]:
    """Another process is in the midst of writing."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield
    finally:
        process.communicate()


def _move(source: Path, target: Path) -> None:
    for file in list(source.glob("s.db*")):
        file.rename(target / file.name)


def _open_files(folder: Path) -> list[str]:
    opened = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    return [path.name for path in opened if path.is_relative_to(folder)]


def _files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class CountingHops(ThreadHops):
    """Tells how many threads were asked for."""

    started = 0

    async def thread(self, work: Callable[[], T]) -> T:
        self.started += 1
        return await super().thread(work)


async def test_a_full_disk_fails_every_waiter_and_heals(tmp_path: Path) -> None:
    """Nothing of a commit that finds no room is there; with room again, writing works again."""
    async with note_store(tmp_path / "s.db") as store:
        await store.write(write_note("before"))
        refused: dict[str, StoreUnavailable] = {}

        async def one(text: str) -> None:
            try:
                await store.write(write_note(text))
            except StoreUnavailable as fault:
                refused[text[:5]] = fault

        with disk_full_above(1_000_000):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one, "huge " + "x" * 2_000_000)
                tasks.start_soon(one, "small beside it")
            seen = await store.read(read_notes)

        assert str(store.path) in str(refused["huge "])
        assert isinstance(refused["huge "].__cause__, sqlite3.Error)
        assert set(seen) <= {"before", "small beside it"}
        assert ("small beside it" in seen) is ("small" not in refused)
        assert await store.write(write_note("after")) == "after"
        assert await store.read(read_notes) == [*seen, "after"]


async def test_every_waiter_of_a_failed_commit_learns_it(tmp_path: Path) -> None:
    """When the common commit fails, all who shared it are told, and none of them is there."""
    async with note_store(tmp_path / "s.db", busy_timeout_seconds=0.05) as store:
        refused = []

        async def one(text: str) -> None:
            with pytest.raises(StoreUnavailable):
                await store.write(write_note(text))
            refused.append(text)

        with locked_elsewhere(store.path):
            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(one, str(number))

        assert sorted(refused) == [str(number) for number in range(10)]
        assert await store.read(read_notes) == []
        assert await store.write(write_note("after")) == "after"


async def test_reading_goes_on_while_another_process_writes(tmp_path: Path) -> None:
    """A foreign writer's lock keeps nobody from reading."""
    async with note_store(tmp_path / "s.db") as store:
        await store.write(write_note("there"))
        with locked_elsewhere(store.path):
            seen = await store.read(read_notes)

        assert seen == ["there"]


async def test_a_short_foreign_lock_is_waited_for(tmp_path: Path) -> None:
    """A write waits for another process that lets go within the time allowed."""
    hops = CountingHops()
    async with note_store(tmp_path / "s.db", hops, busy_timeout_seconds=20) as store:
        async with anyio.create_task_group() as tasks:
            before = hops.started
            with locked_elsewhere(store.path):
                tasks.start_soon(store.write, write_note("patient"))
                while hops.started == before:
                    await anyio.lowlevel.checkpoint()

        assert await store.read(read_notes) == ["patient"]


async def test_a_directory_that_cannot_be_made_heals_once_it_can(tmp_path: Path) -> None:
    """A path that cannot hold a file is unavailable at opening, and fine when it can."""
    in_the_way = tmp_path / "data"
    in_the_way.write_text("a file where the directory should be")
    store = Database(in_the_way / "s.db", [note_migrations], ThreadHops())
    with pytest.raises(StoreUnavailable, match=r"data/s\.db"):
        await store.open()
    with pytest.raises(StoreUnavailable):
        await store.write(write_note("too early"))
    with pytest.raises(StoreUnavailable):
        await store.read(read_notes)

    in_the_way.unlink()
    await store.write(write_note("now"))

    assert await store.read(read_notes) == ["now"]
    await store.close()


async def test_a_store_that_vanishes_is_unavailable_until_it_is_back(tmp_path: Path) -> None:
    """A file moved away under a running program is not quietly begun anew, nor written to where
    no one will find it."""
    path, away = tmp_path / "s.db", tmp_path / "away"
    async with note_store(path) as store:
        await store.write(write_note("before"))
        await store.close()  # so that all of it is in the one file
        await store.open()
        away.mkdir()
        _move(tmp_path, away)
        with pytest.raises(StoreUnavailable, match="is gone"):
            await store.write(write_note("nowhere"))
        assert not path.exists()
        with pytest.raises(StoreUnavailable):
            await store.read(read_notes)
        assert not path.exists()

        _move(away, tmp_path)
        await store.write(write_note("after"))

        assert await store.read(read_notes) == ["before", "after"]


async def test_a_store_replaced_by_a_backup_is_gone_on_with(tmp_path: Path) -> None:
    """After the file was exchanged for another one, writes and reads go to that one."""
    path, backup = tmp_path / "s.db", tmp_path / "backup.db"
    async with note_store(path) as store:
        await store.write(write_note("in the backup"))
        await store.close()
        shutil.copy(path, backup)
        await store.open()
        await store.write(write_note("lost with the old file"))
        await store.read(read_notes)
        for remains in (path, path.with_name("s.db-wal"), path.with_name("s.db-shm")):
            remains.unlink()
        backup.rename(path)
        await store.write(write_note("new"))

        assert await store.read(read_notes) == ["in the backup", "new"]


async def test_a_file_that_is_no_store_is_unavailable(tmp_path: Path) -> None:
    """Another program's file is left as it is."""
    path = tmp_path / "s.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailable):
        await Database(path, [note_migrations], ThreadHops()).open()

    assert path.read_bytes() == b"this is no database" * 100


async def test_a_bug_in_our_own_sql_is_not_called_trouble(tmp_path: Path) -> None:
    """Nobody should wait for a misspelled query to heal: not in a read, not in a migration."""
    broken = Migrations("broken")

    @broken()
    def misspelled(database: SchemaDatabase) -> None:
        database.conn.execute("CRATE TABLE x")

    async with note_store(tmp_path / "s.db") as store:
        with pytest.raises(sqlite3.OperationalError, match="SELEKT"):
            await store.read(lambda connection: connection.execute("SELEKT"))
        with pytest.raises(sqlite3.ProgrammingError):
            await store.write(lambda connection: connection.execute("SELECT ?", (1, 2)))
        assert await store.read(read_notes) == []
    with pytest.raises(sqlite3.OperationalError, match="CRATE"):
        await Database(tmp_path / "t.db", [broken], ThreadHops()).open()


async def test_what_a_reader_raises_is_raised(tmp_path: Path) -> None:
    """An exception of the query itself reaches the caller, and the next read works."""
    async with note_store(tmp_path / "s.db") as store:

        def fails(_: sqlite3.Connection) -> None:
            raise LookupError("not there")

        for _ in range(10):
            with pytest.raises(LookupError):
                await store.read(fails)

        assert await store.read(read_notes) == []


async def test_a_closed_store_keeps_no_file_open(tmp_path: Path) -> None:
    """After closing, its files may be moved or removed by anyone."""
    async with note_store(tmp_path / "s.db") as store, anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(store.write, write_note(str(number)))
            tasks.start_soon(store.read, read_notes)

    assert _open_files(tmp_path) == []
    assert _files(tmp_path) == ["s.db"]


async def test_a_reader_that_outlives_the_closing_leaves_no_file_open(tmp_path: Path) -> None:
    """A read that is under way when the store closes ends well, and its connection with it."""
    async with note_store(tmp_path / "s.db") as store:
        entered, go = threading.Event(), threading.Event()
        seen: list[list[str]] = []

        def slow(connection: sqlite3.Connection) -> list[str]:
            entered.set()
            assert go.wait(10)
            return read_notes(connection)

        async def read() -> None:
            seen.append(await store.read(slow))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            while not entered.is_set():
                await anyio.lowlevel.checkpoint()
            await store.close()
            go.set()

        assert seen == [[]]
        assert _open_files(tmp_path) == []
