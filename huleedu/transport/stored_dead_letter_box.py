"""The dead letters of the embedded bus, for whoever looks after them from another process."""

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self

import msgspec
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.clock import to_text
from huleedu.core.errors import Misconfigured
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.transport import replays
from huleedu.transport.dead_letter_box import DeadLetter, Wanted
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS

PAGE_ROWS = 50

_SELECT = "SELECT id, topic, key, value, headers, settled_as FROM dead_letter"


class StoredDeadLetterBox:
    """Dead letters in a store that another process may have open (see ``DeadLetterBox``).

    The schema is never changed from here: the program that owns the store may be running.
    """

    def __init__(self, database: Database, platform: Platform) -> None:
        self._database = database
        self._platform = platform

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, platform: Platform) -> AsyncGenerator[Self]:
        """Look into the store at this path until the block is left.

        Raises ``Misconfigured`` when there is none, or it is of another version;
        ``StoreUnavailable`` when it cannot be read.
        """
        if not await platform.hops.thread(path.exists):
            raise Misconfigured(f"there are no dead letters here: {path} does not exist")
        database = Database(path, DEAD_LETTER_MIGRATIONS, platform.hops)
        try:
            if await database.read(_is_older):
                raise Misconfigured(
                    f"{path} was written by an older version of this program; start "
                    "`huleedu serve all-in-one` of this version on it once"
                )
            yield cls(database, platform)
        finally:
            await database.close()

    @property
    def place(self) -> str:
        """The store's file."""
        return str(self._database.path)

    async def letters(self, wanted: Wanted) -> AsyncGenerator[DeadLetter]:
        """Return those that are meant, oldest first.  Raises ``StoreUnavailable``."""
        last = await self._database.read(_last_id)
        after = 0
        while True:
            page = await self._database.read(partial(_page, after=after, last=last, wanted=wanted))
            for letter in page:
                if wanted.means(letter):
                    yield letter
            if len(page) < PAGE_ROWS:
                return
            after = int(page[-1].id)

    async def replay(self, letters: Sequence[DeadLetter], *, to_everyone: bool = False) -> int:
        """Put the replays into the store's outbox, from where the running program publishes them.

        It looks every few seconds; when it does not run, it does so once it is started.  What was
        replayed to the same groups before is left out: they would pass it over.
        """
        now = self._platform.clock.now()

        def work(connection: sqlite3.Connection) -> int:
            mine = [one for one in letters if _replay(connection, one, to_everyone, now)]
            again = [replays.replayed(one.message, to_everyone=to_everyone) for one in mine]
            outbox.add(connection, again, now)
            return len(mine)

        return await self._database.write(work)

    async def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Note them as discarded; they are deleted after ``dead_letters.KEEP_SETTLED``."""
        now = self._platform.clock.now()
        return await self._database.write(lambda db: sum(_discard(db, one, now) for one in letters))


def _is_older(connection: sqlite3.Connection) -> bool:
    database = SchemaDatabase(connection)
    return any(migrations.pending(database) for migrations in DEAD_LETTER_MIGRATIONS)


def _last_id(connection: sqlite3.Connection) -> int:
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM dead_letter").fetchone()
    return int(last)


def _page(
    connection: sqlite3.Connection, *, after: int, last: int, wanted: Wanted
) -> Sequence[DeadLetter]:
    waiting = "" if wanted.settled_too else " AND settled_as IS NULL"
    rows = connection.execute(
        f"{_SELECT} WHERE id > ? AND id <= ?{waiting} ORDER BY id LIMIT ?",
        (after, last, PAGE_ROWS),
    )
    return [
        DeadLetter(
            id=str(row_id),
            message=Message(topic, key, value, msgspec.json.decode(headers)),
            settlement=settled_as,
        )
        for row_id, topic, key, value, headers, settled_as in rows
    ]


def _replay(
    connection: sqlite3.Connection, letter: DeadLetter, to_everyone: bool, now: datetime
) -> bool:
    """Note that it is replayed, unless it was to the same groups, or somebody else decided."""
    group = replays.audience(letter.message, to_everyone=to_everyone)
    column = "replayed_to_everyone" if group is None else "replayed_to_group"
    cursor = connection.execute(
        f"UPDATE dead_letter SET settled_as = 'replayed', settled_at = ?, {column} = 1"
        f" WHERE id = ? AND settled_as IS ? AND NOT {column}",
        (to_text(now), int(letter.id), letter.settlement),
    )
    return cursor.rowcount == 1


def _discard(connection: sqlite3.Connection, letter: DeadLetter, now: datetime) -> bool:
    """Note that it is discarded, unless somebody else decided since it was read."""
    cursor = connection.execute(
        "UPDATE dead_letter SET settled_as = 'discarded', settled_at = ?"
        " WHERE id = ? AND settled_as IS ?",
        (to_text(now), int(letter.id), letter.settlement),
    )
    return cursor.rowcount == 1
