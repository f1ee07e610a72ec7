"""Schemas go forward when the program starts, and never back."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.errors import Misconfigured, StoreUnavailable
from huleedu.core.hops import ThreadHops
from huleedu.store.database import Database
from huleedu.store.migrations import Migrations, migrate
from huleedu.store.outbox import outbox_migrations
from tests.support.stores import note_migrations, note_store, read_notes, write_note

pytestmark = pytest.mark.anyio


def _newer_notes() -> Migrations:
    """The note set as a later version has it."""
    newer = Migrations("note")
    newer()(note_migrations._migrations[0].fn)

    @newer()
    def add_author(database: SchemaDatabase) -> None:
        database.conn.execute("ALTER TABLE note ADD COLUMN author TEXT")

    return newer


def _schema(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()
    connection.close()
    return [sql for (sql,) in rows]


async def test_a_newer_program_brings_the_store_forward_with_its_rows(tmp_path: Path) -> None:
    """What was written under the old schema is there under the new one."""
    path = tmp_path / "s.db"
    async with note_store(path) as store:
        await store.write(write_note("old"))
    async with note_store(path, migrations=[_newer_notes()]) as store:
        rows = await store.read(lambda c: c.execute("SELECT text, author FROM note").fetchall())

    assert rows == [("old", None)]


@pytest.mark.parametrize(
    ("newer", "named"),
    [([_newer_notes()], "add_author"), ([note_migrations, outbox_migrations], "outbox")],
    ids=["a further migration", "a further set"],
)
async def test_an_older_program_leaves_a_newer_store_alone(
    tmp_path: Path, newer: list[Migrations], named: str
) -> None:
    """A store that knows more than the program is refused by name, and not changed."""
    path = tmp_path / "s.db"
    async with note_store(path, migrations=newer):
        pass
    before = _schema(path)
    store = Database(path, [note_migrations], ThreadHops())
    with pytest.raises(Misconfigured, match=named):
        await store.open()
    # Also where the store is found so only when it is opened again, by a write:
    with pytest.raises(Misconfigured, match=named):
        await store.write(write_note("x"))

    assert _schema(path) == before


async def test_every_waiter_learns_that_the_store_is_newer(tmp_path: Path) -> None:
    """Writers that wait together are all refused; none is told that its write is on disk."""
    path = tmp_path / "s.db"
    async with note_store(path, migrations=[_newer_notes()]):
        pass
    store = Database(path, [note_migrations], ThreadHops())
    refused = []

    async def one(number: int) -> None:
        with pytest.raises(Misconfigured):
            await store.write(write_note(str(number)))
        refused.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(one, number)

    assert len(refused) == 5


def test_migrations_happen_all_or_not_at_all(tmp_path: Path) -> None:
    """When the second set fails, the first one did not happen either."""
    failing = Migrations("failing")

    @failing()
    def half(database: SchemaDatabase) -> None:
        database.conn.execute("CREATE TABLE half (x)")
        raise LookupError("on purpose")

    path = tmp_path / "s.db"
    connection = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(LookupError):
        migrate(connection, "s", [note_migrations, failing])
    connection.close()

    assert _schema(path) == []


OPEN_AND_WRITE = """
import anyio, sys
from pathlib import Path
from tests.support.stores import note_store, write_note

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    async with note_store(Path(sys.argv[1])) as store:
        await store.write(write_note(sys.argv[2]))

anyio.run(main)
"""


def _run_together(path: Path, names: list[str]) -> list[tuple[str, int]]:
    """Return what each process said on stderr, and its exit code."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AND_WRITE, str(path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [(process.communicate()[1], process.returncode) for process in processes]


async def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    """Three processes open the same new store at once: all succeed, on one schema."""
    path = tmp_path / "s.db"
    ends = _run_together(path, ["a", "b", "c"])

    assert ends == [("", 0)] * 3
    async with note_store(path) as store:
        assert sorted(await store.read(read_notes)) == ["a", "b", "c"]


async def test_a_store_that_another_process_is_making_is_waited_for(tmp_path: Path) -> None:
    """Whoever comes while the new file's lock is held opens it when that is free again."""
    path = tmp_path / "s.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = Database(path, [note_migrations], ThreadHops())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.open)
        await anyio.sleep(0.2)  # it is held for so long
        other.execute("ROLLBACK")
    other.close()

    await store.write(write_note("x"))
    assert await store.read(read_notes) == ["x"]
    await store.close()


async def test_a_store_that_stays_locked_is_told_in_bounded_time(tmp_path: Path) -> None:
    """Nobody waits without end for a file that another process does not let go."""
    path = tmp_path / "s.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = Database(path, [note_migrations], ThreadHops(), busy_timeout_seconds=0.1)
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.open()
    other.close()
