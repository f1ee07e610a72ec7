"""One SQLite file with a single writer whose commits are shared, and readers beside it."""

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import anyio

from huleedu.core.errors import StoreUnavailable
from huleedu.core.hops import Hops
from huleedu.store.migrations import Migrations, migrate

T = TypeVar("T")

BUSY_TIMEOUT_MS = 5_000
READERS_MAX = 4
GROUP_COMMIT_MAX = 256  # requests that share one commit
_WRITER_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # what is said is on disk
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-65536",  # 64 MiB, as measured for the readiness workload
    "PRAGMA journal_size_limit=67108864",
)

_OUR_FAULTS = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_TOOBIG,
    }
)


class _Write(Generic[T]):
    """A unit of work that waits for its turn, and then its outcome."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self.work = work
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def outcome(self) -> T:
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


class Database:
    """A module's store.

    ``write`` runs a unit of work in a transaction and returns when it is durable; units that wait
    at the same time share one commit, each in a savepoint of its own, so that one that fails takes
    nothing of its neighbours with it.  ``read`` sees the last commit and never waits for a writer.
    """

    def __init__(self, path: Path, migrations: Sequence[Migrations], hops: Hops) -> None:
        self.path = path
        self._migrations = migrations
        self._hops = hops
        self._waiting: deque[_Write[Any]] = deque()
        self._writing = anyio.Lock()
        self._writer: sqlite3.Connection | None = None
        self._readers: list[sqlite3.Connection] = []
        self._reading = anyio.CapacityLimiter(READERS_MAX)
        self._after_commit: list[Callable[[], None]] = []

    async def open(self) -> None:
        """Open the file and bring its schema forward.

        Raises ``StoreUnavailable`` when it cannot be opened, ``Misconfigured`` for a newer schema.
        """
        async with self._writing:
            await self._hops.thread(self._open_writer)

    async def close(self) -> None:
        """Close every connection, after the writes that are under way."""
        with anyio.CancelScope(shield=True):
            async with self._writing:
                await self._hops.thread(self._close_all)

    def after_commit(self, notify: Callable[[], None]) -> None:
        """Have ``notify`` called, on the event loop, after every commit of this process."""
        self._after_commit.append(notify)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a transaction and return its result once that is on disk.

        ``work`` runs in a thread, takes the connection, and neither begins nor commits.  What it
        raises is raised here and its changes are undone.  Raises ``StoreUnavailable`` when the
        commit fails: then nothing of it happened.
        """
        mine = _Write(work)
        self._waiting.append(mine)
        try:
            async with self._writing:
                while not mine.done:
                    await self._commit_next_group()
        finally:
            # A caller that is cancelled while it waits takes its work with it.
            if not mine.done and mine in self._waiting:
                self._waiting.remove(mine)
        return mine.outcome()

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``query`` on a read-only connection in one snapshot and return its result.

        Raises ``StoreUnavailable`` when the file cannot be read.
        """
        async with self._reading:
            return await self._hops.thread(lambda: self._read(query))

    async def _commit_next_group(self) -> None:
        count = min(len(self._waiting), GROUP_COMMIT_MAX)
        group = [self._waiting.popleft() for _ in range(count)]
        await self._hops.thread(lambda: self._commit(group))
        for notify in self._after_commit:
            notify()

    def _commit(self, group: list[_Write[Any]]) -> None:
        try:
            connection = self._writer or self._open_writer()
            connection.execute("BEGIN IMMEDIATE")
            for write in group:
                self._run(connection, write)
            connection.execute("COMMIT")
        except (sqlite3.Error, StoreUnavailable) as error:
            failed = _translated(self.path, error)
            for write in group:
                write.error = failed
            # After an I/O error only a new connection is known to be sound.
            self._close_writer()
        finally:
            for write in group:
                write.done = True

    def _run(self, connection: sqlite3.Connection, write: _Write[Any]) -> None:
        connection.execute("SAVEPOINT one")
        try:
            write.result = write.work(connection)
        except BaseException as error:  # handed to the caller, who waits for it
            if _may_heal(error):
                raise
            write.error = error
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._readers.pop() if self._readers else None
        try:
            connection = connection or self._open_reader()
            connection.execute("BEGIN")
            try:
                result = query(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            if _may_heal(error):
                raise _translated(self.path, error) from error
            raise
        except BaseException:
            if connection is not None:
                self._readers.append(connection)
            raise
        self._readers.append(connection)
        return result

    def _open_writer(self) -> sqlite3.Connection:
        connection = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = _connect(self.path)
            for pragma in _WRITER_PRAGMAS:
                connection.execute(pragma)
            migrate(connection, str(self.path), self._migrations)
        except (OSError, sqlite3.Error) as error:
            if connection is not None:
                connection.close()
            raise _translated(self.path, error) from error
        self._writer = connection
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        connection = _connect(self.path)
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA query_only=ON")
        return connection

    def _close_writer(self) -> None:
        if self._writer is not None:
            with suppress(sqlite3.Error):  # it failed already; what matters is a new one
                self._writer.close()
            self._writer = None

    def _close_all(self) -> None:
        while self._readers:
            self._readers.pop().close()
        self._close_writer()


def _may_heal(error: BaseException) -> bool:
    """Tell the world's faults (full, locked, read-only) from a fault in our own SQL."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF not in _OUR_FAULTS


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _translated(path: Path, error: Exception) -> StoreUnavailable:
    if isinstance(error, StoreUnavailable):
        return error
    return StoreUnavailable(
        f"the store {path} cannot be used for now ({error}); "
        "check free space and permissions, the request can be repeated"
    )
