"""One SQLite file with a single writer whose commits are shared, and readers beside it."""

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import anyio

from huleedu.core.errors import HuleEduError, StoreUnavailable
from huleedu.core.hops import Hops
from huleedu.store.directory import make_directory
from huleedu.store.migrations import Migrations, migrate
from huleedu.store.permissions import make_private_store

T = TypeVar("T")

BUSY_TIMEOUT_SECONDS = 5.0  # how long another process may hold the file's lock
READERS_MAX = 4
CACHE_MEBIBYTES = 64
"""Pages that the writer may keep in memory; 64 MiB as measured for the readiness workload."""
READER_CACHE_MEBIBYTES = 2
"""The same for each reader.  A store keeps at most 64 + 4 × 2 MiB, and takes hours to get there."""
GROUP_COMMIT_MAX = 256  # requests that share one commit
_LOCKED_PAUSE_SECONDS = 0.01
JOURNAL_BYTES_MAX = 48 * 2**20
"""A write-ahead log above this is emptied, and its readers are waited for.  SQLite itself starts it
anew only at a moment without any reader; where reads overlap, that moment never comes (530 MiB
after 600 writes of 500 kB, measured)."""
_JOURNAL_WAIT_SECONDS = 2.0
_WRITER_PRAGMAS = (
    "PRAGMA synchronous=FULL",  # what is said is on disk
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    f"PRAGMA journal_size_limit={JOURNAL_BYTES_MAX}",
    # 32 MiB; at SQLite's 4 MiB every second fetch of the readiness workload moved its pages into
    # the file, the same ones again and again, and a quarter more was written in all.
    "PRAGMA wal_autocheckpoint=8000",
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

    __slots__ = ("abandoned", "done", "error", "result", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self.work = work
        self.done = False
        self.abandoned = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def outcome(self) -> T:
        """Return the result, or raise the error and forget it, so that it goes with who has it."""
        error, self.error = self.error, None
        if error is None:
            return self.result  # type: ignore[return-value]
        try:
            raise error
        finally:
            del error  # its traceback leads to this frame


class Database:
    """A module's store.

    ``write`` runs a unit of work in a transaction and returns when it is durable; units that wait
    at the same time share one commit, each in a savepoint of its own, so that one that fails takes
    nothing of its neighbours with it.  ``read`` sees the last commit and never waits for a writer.
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[Migrations],
        hops: Hops,
        busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS,
        cache_mebibytes: int = CACHE_MEBIBYTES,
    ) -> None:
        self.path = path
        self._migrations = migrations
        self._hops = hops
        self._busy_timeout_seconds = busy_timeout_seconds
        self._cache_mebibytes = cache_mebibytes
        self._waiting: deque[_Write[Any]] = deque()
        self._writing = anyio.Lock()
        # Held in the thread: a task may be torn away from its hop, its thread goes on.
        self._committing = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._readers: deque[sqlite3.Connection] = deque()
        self._generation = 0  # readers of an older one are not used again
        self._journal = path.with_name(f"{path.name}-wal")
        self._journal_bytes_max = JOURNAL_BYTES_MAX
        self._reading = anyio.CapacityLimiter(READERS_MAX)
        self._after_commit: list[Callable[[], None]] = []

    async def open(self) -> None:
        """Open the file and bring its schema forward.

        Raises ``StoreUnavailable`` when it cannot be opened, ``Misconfigured`` for a newer schema.
        """
        async with self._writing:
            await self._hops.thread(self._open_anew)

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
        commit fails: then nothing of it happened.  Cancelled before its turn, nothing happens;
        cancelled while ``work`` runs, all of it or nothing does, and the caller does not learn
        which.
        """
        mine = _Write(work)
        self._waiting.append(mine)
        try:
            async with self._writing:
                while not mine.done:
                    await self._commit_next_group()
        finally:
            # A caller that is cancelled while it waits takes its work with it.
            mine.abandoned = not mine.done
        return mine.outcome()

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``query`` on a read-only connection in one snapshot and return its result.

        Raises ``StoreUnavailable`` when the file cannot be read.
        """
        async with self._reading:
            return await self._hops.thread(lambda: self._read(query))

    async def _commit_next_group(self) -> None:
        await self._hops.thread(self._take_and_commit)
        for notify in self._after_commit:
            notify()

    def _take_and_commit(self) -> None:
        # The group is taken here and not on the event loop: a leader that is cancelled before its
        # thread starts must not take the work of others with it.
        with self._committing:
            group: list[_Write[Any]] = []
            while self._waiting and len(group) < GROUP_COMMIT_MAX:
                write = self._waiting.popleft()
                if not write.abandoned:
                    group.append(write)
            if group:
                self._commit(group)
                self._shorten_journal()

    def _commit(self, group: list[_Write[Any]]) -> None:
        try:
            connection = self._usable_writer()
            connection.execute("BEGIN IMMEDIATE")
            for write in group:
                self._run(connection, write)
            connection.execute("COMMIT")
        except (sqlite3.Error, HuleEduError) as error:
            self._fail(group, error)
        except BaseException as error:
            self._fail(group, error)
            raise
        finally:
            for write in group:
                write.done = True

    def _shorten_journal(self) -> None:
        """Empty the write-ahead log when it is long; what was committed stays committed."""
        connection, size = self._writer, _size(self._journal)
        if size <= JOURNAL_BYTES_MAX:
            self._journal_bytes_max = JOURNAL_BYTES_MAX
        if connection is None or size <= self._journal_bytes_max:
            return
        try:
            is_empty = self._empty_journal(connection)
        except sqlite3.Error:
            # No room, say: the next commit finds out and tells, on a new connection.
            is_empty = False
            self._close_writer()
        # A reader that does not go (a backup, a shell) must not make every write wait.
        self._journal_bytes_max = JOURNAL_BYTES_MAX if is_empty else 2 * size

    def _empty_journal(self, connection: sqlite3.Connection) -> bool:
        """Wait until no reader needs the write-ahead log any more; tell whether it is empty.

        SQLite's own waiting would look again and again at one place among its readers, which the
        next reader may have taken meanwhile; each attempt made anew gets further.
        """
        deadline = time.monotonic() + _JOURNAL_WAIT_SECONDS
        connection.execute("PRAGMA busy_timeout=0")
        try:
            while True:
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy or time.monotonic() > deadline:
                    return not busy
                time.sleep(_LOCKED_PAUSE_SECONDS)
        finally:
            own = round(self._busy_timeout_seconds * 1_000)
            connection.execute(f"PRAGMA busy_timeout={own}")

    def _fail(self, group: list[_Write[Any]], error: BaseException) -> None:
        for write in group:
            write.error = _translated(self.path, error) if _may_heal(error) else error
        # After an I/O error only a new connection is known to be sound.
        self._close_writer()

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
        generation = self._generation
        connection: sqlite3.Connection | None = None
        sound = True
        try:
            connection = self._take_reader()
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            sound = False
            if _may_heal(error):
                raise _translated(self.path, error) from error
            raise
        finally:
            if connection is not None:
                if sound and generation == self._generation:
                    self._readers.append(connection)
                else:
                    connection.close()

    def _open_anew(self) -> None:
        self._file = None
        self._close_all()
        self._open_writer()

    def _usable_writer(self) -> sqlite3.Connection:
        """Return the writer, anew when the file at the path is no longer the one it opened."""
        if self._writer is not None and self._file == _identity(self.path):
            return self._writer
        self._close_all()
        if self._file is not None and _identity(self.path) is None:
            # An empty store in its place would look as if nothing had ever been said.
            raise StoreUnavailable(f"the store {self.path} is gone; put it back, or restart")
        return self._open_writer()

    def _open_writer(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = None
        try:
            make_directory(self.path.parent)
            make_private_store(self.path)
            connection = self._connect("rwc")
            self._switch_to_wal(connection)
            for pragma in (*_WRITER_PRAGMAS, _cache_of(self._cache_mebibytes)):
                connection.execute(pragma)
            migrate(connection, str(self.path), self._migrations)
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, OSError) or _may_heal(error):
                raise _translated(self.path, error) from error
            raise
        else:
            self._writer, connection = connection, None
            self._file = _identity(self.path)
            return self._writer
        finally:
            if connection is not None:
                connection.close()

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        """Wait for whoever switches the same new file at this moment; SQLite itself would not.

        The switch takes the file's lock exclusively, and SQLITE_BUSY is answered to it at once,
        whatever the busy timeout is.
        """
        deadline = time.monotonic() + self._busy_timeout_seconds
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(_LOCKED_PAUSE_SECONDS)
            else:
                return

    def _take_reader(self) -> sqlite3.Connection:
        with suppress(IndexError):  # none is idle
            return self._readers.pop()
        connection = self._connect("rw")
        try:
            connection.execute("PRAGMA query_only=ON")
            connection.execute(_cache_of(READER_CACHE_MEBIBYTES))  # reads the schema, and may fail
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=self._busy_timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
        )

    def _close_writer(self) -> None:
        if self._writer is not None:
            with suppress(sqlite3.Error):  # it failed already; what matters is a new one
                self._writer.close()
            self._writer = None

    def _close_all(self) -> None:
        self._generation += 1
        with suppress(IndexError):  # until none is idle
            while True:
                self._readers.pop().close()
        self._close_writer()


def _may_heal(error: BaseException) -> bool:
    """Tell the world's faults (full, locked, read-only) from a fault in our own SQL."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF not in _OUR_FAULTS


def _cache_of(mebibytes: int) -> str:
    return f"PRAGMA cache_size=-{1_024 * mebibytes}"  # below 0: in KiB, not in pages


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file is at the path, or None when there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - once a commit; half the cost of Path.stat
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - as above
    except OSError:
        return 0


def _translated(path: Path, error: BaseException) -> StoreUnavailable:
    translated = StoreUnavailable(
        f"the store {path} cannot be used for now ({error}); "
        "check free space and permissions, the request can be repeated"
    )
    translated.__cause__ = error
    return translated
