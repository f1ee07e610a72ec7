"""The connections of a store: how many there are, how each is set up, when one is replaced."""

import sqlite3
import threading
from pathlib import Path

import anyio
import pytest

from huleedu.core.errors import StoreUnavailable
from huleedu.store import database
from huleedu.store.database import GROUP_COMMIT_MAX, READERS_MAX
from tests.store.test_trouble import disk_full_above
from tests.support.connections import watched_connections
from tests.support.eventually import eventually
from tests.support.stores import note_store, read_notes, write_note

pytestmark = pytest.mark.anyio


def setting(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


async def test_a_connection_whose_commit_failed_is_replaced(tmp_path: Path) -> None:
    """After an I/O error only a new one is known to be sound; the old one is closed."""
    with watched_connections() as connections:
        async with note_store(tmp_path / "s.db") as store:
            await store.write(write_note("before"))
            with disk_full_above(100_000), pytest.raises(StoreUnavailable):
                await store.write(write_note("x" * 1_000_000))
            await store.write(write_note("after"))

            (_, first), (_, second) = connections.opened
            assert setting(second, "synchronous") == 2
            with pytest.raises(sqlite3.ProgrammingError):
                first.execute("SELECT 1")


async def test_a_writer_keeps_to_references(tmp_path: Path) -> None:
    """SQLite asks for that on each connection."""
    with watched_connections() as connections:
        async with note_store(tmp_path / "s.db"):
            ((_, writer),) = connections.opened

            assert setting(writer, "foreign_keys") == 1


async def test_no_more_readers_than_are_allowed(tmp_path: Path) -> None:
    """However many ask at once; the others wait for their turn."""
    go_on = threading.Event()
    reading: list[None] = []

    def slow(connection: sqlite3.Connection) -> list[str]:
        reading.append(None)
        go_on.wait(10)
        return read_notes(connection)

    async def count() -> int:
        return len(reading)

    with watched_connections() as connections:
        async with note_store(tmp_path / "s.db") as store:
            async with anyio.create_task_group() as tasks:
                for _ in range(3 * READERS_MAX):
                    tasks.start_soon(store.read, slow)
                await eventually(count, lambda seen: seen == READERS_MAX)
                await anyio.wait_all_tasks_blocked()
                assert len(reading) == READERS_MAX
                go_on.set()

            assert len(reading) == 3 * READERS_MAX
            assert len(connections.opened) == 1 + READERS_MAX


async def test_emptying_the_log_leaves_the_writer_as_patient_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for readers inside SQLite meanwhile, but for other writers afterwards."""
    monkeypatch.setattr(database, "JOURNAL_BYTES_MAX", 10_000)
    with watched_connections() as connections:
        async with note_store(tmp_path / "s.db", busy_timeout_seconds=3.0) as store:
            await store.write(write_note("x" * 100_000))
            ((_, writer),) = connections.opened

            assert (tmp_path / "s.db-wal").stat().st_size == 0
            assert setting(writer, "busy_timeout") == 3_000


async def test_a_reader_that_does_not_go_does_not_make_every_write_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emptying the log is tried again only when that has doubled."""
    monkeypatch.setattr(database, "JOURNAL_BYTES_MAX", 10_000)
    monkeypatch.setattr(database, "_JOURNAL_WAIT_SECONDS", 0.0)
    statements: list[str] = []
    async with note_store(tmp_path / "s.db") as store:
        backup = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        backup.execute("BEGIN")
        backup.execute("SELECT * FROM note").fetchall()
        await store.write(lambda db: db.set_trace_callback(statements.append))
        await store.write(write_note("x" * 100_000))
        assert [one for one in statements if "wal_checkpoint" in one] != []
        statements.clear()
        for number in range(10):
            await store.write(write_note(f"small {number}"))
        backup.close()

    assert [one for one in statements if "wal_checkpoint" in one] == []


async def test_no_more_writes_share_a_commit_than_are_allowed(tmp_path: Path) -> None:
    """However many wait: nobody's answer waits for thousands of others."""
    statements: list[str] = []
    async with note_store(tmp_path / "s.db") as store:
        await store.write(lambda db: db.set_trace_callback(statements.append))
        async with anyio.create_task_group() as tasks:
            for number in range(2 * GROUP_COMMIT_MAX + 10):
                tasks.start_soon(store.write, write_note(str(number)))
    shared = [0]
    for statement in statements:
        shared[-1] += statement == "SAVEPOINT one"
        if statement == "COMMIT":
            shared.append(0)

    assert sum(shared) == 2 * GROUP_COMMIT_MAX + 10
    assert max(shared) == GROUP_COMMIT_MAX
