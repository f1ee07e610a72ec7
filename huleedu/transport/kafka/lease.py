"""One relay an outbox: whoever holds the lease in its store publishes, the others stand by.

The holder counts up in its row and holds a lock on a file beside the store.  When the lock is gone
the holder is dead, and the next one takes the lease at once; when only the count stands still, it
may be stopped and wake up later, and the next one waits.  The wait is measured by the waiting
process's own clock, so that no clock need agree with another.

A lease alone never keeps a holder that slept too long from going on for a moment: that is for the
broker's fencing.  And who is stopped in the midst of a write to an SQLite store keeps everybody
from writing to it, so also from taking the lease, until it wakes up or is killed.
"""

import fcntl
import os
import sqlite3
from dataclasses import dataclass
from functools import partial

from huleedu.core.errors import StoreUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.store.database import Database

LAPSE_SECONDS = 5.0
BEAT_SECONDS = 1.0
LOOK_SECONDS = 0.25
LOCK_SUFFIX = ".relay.lock"


@dataclass(frozen=True)
class _Held:
    """The lease as it is in the store."""

    holder: str
    beats: int
    holds_lock: bool


class Lease:
    """The right to relay the outbox of ``database``, wanted or held under the name ``holder``.

    Raises ``StoreUnavailable`` from every method when the store or the lock cannot be used.
    """

    def __init__(
        self,
        database: Database,
        platform: Platform,
        holder: str,
        lapse_seconds: float = LAPSE_SECONDS,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._database = database
        self._platform = platform
        self._holder = holder
        self._lapse_seconds = lapse_seconds
        self._beat_seconds = beat_seconds
        self._lock_path = database.path.with_name(database.path.name + LOCK_SUFFIX)
        self._lock: int | None = None
        self._logger = create_service_logger("relay")

    @property
    def beat_seconds(self) -> float:
        """How long to wait between two beats."""
        return self._beat_seconds

    async def acquire(self) -> None:
        """Return once the lease is ours."""
        clock = self._platform.clock
        seen: _Held | None = None
        since = clock.monotonic()
        while True:
            locked = await self._platform.hops.thread(self._try_lock)
            held = await self._database.read(_read)
            if held != seen:
                seen, since = held, clock.monotonic()
            lapsed = clock.monotonic() - since >= self._lapse_seconds
            is_free = not held.holder or (locked and held.holds_lock) or lapsed
            if is_free and await self._database.write(partial(self._take, held=held)):
                self._logger.info(
                    "relay_lease_taken",
                    store=self._database.path.stem,
                    holder=self._holder,
                    after=held.holder or None,
                    lapsed=lapsed,
                )
                return
            # Not kept while waiting: the holder may have taken over from one that still had it.
            self._unlock()
            await clock.sleep(min(LOOK_SECONDS, self._beat_seconds))

    async def beat(self) -> bool:
        """Tell that we live; return False when the lease is another's."""
        locked = await self._platform.hops.thread(self._try_lock)
        ours = await self._database.write(lambda db: self._count_up(db, locked))
        if not ours:
            self._unlock()
            self._logger.warning(
                "relay_lease_lost", store=self._database.path.stem, holder=self._holder
            )
        return ours

    async def release(self) -> None:
        """Let another have it at once; nothing happens when it is another's already."""
        try:
            await self._database.write(self._give_up)
        finally:
            self._unlock()

    def _take(self, connection: sqlite3.Connection, held: _Held) -> bool:
        cursor = connection.execute(
            "UPDATE outbox_lease SET holder = ?, beats = beats + 1, holds_lock = ?"
            " WHERE holder = ? AND beats = ?",
            (self._holder, self._lock is not None, held.holder, held.beats),
        )
        return cursor.rowcount == 1

    def _count_up(self, connection: sqlite3.Connection, locked: bool) -> bool:
        cursor = connection.execute(
            "UPDATE outbox_lease SET beats = beats + 1, holds_lock = ? WHERE holder = ?",
            (locked, self._holder),
        )
        return cursor.rowcount == 1

    def _give_up(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE outbox_lease SET holder = '', holds_lock = 0 WHERE holder = ?", (self._holder,)
        )

    def _try_lock(self) -> bool:
        if self._lock is not None:
            return True
        try:
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"the lock {self._lock_path} cannot be opened ({error}); check permissions"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _read(connection: sqlite3.Connection) -> _Held:
    holder, beats, holds_lock = connection.execute(
        "SELECT holder, beats, holds_lock FROM outbox_lease"
    ).fetchone()
    return _Held(holder, beats, bool(holds_lock))
