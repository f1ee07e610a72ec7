"""Which rows of a table are old enough to be forgotten, and forgetting one slice of them."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from huleedu.core.clock import from_text, to_text

SLICE_ROWS = 1_000


@dataclass(frozen=True)
class Purge:
    """Forgets rows of one table by their age; calling it deletes one slice, the oldest first."""

    table: str
    key: str
    """Its primary key: one column, or several with commas between them."""
    moment: str
    """The column, with an index, that a row's age counts from; a row in which it is NULL stays."""

    def __call__(
        self,
        connection: sqlite3.Connection,
        now: datetime,
        keep: timedelta,
        needed_since: datetime | None = None,
    ) -> int:
        """Delete at most ``SLICE_ROWS`` rows that are older than ``keep``; return how many.

        A row's age is how far it lies behind ``now`` or behind the table's newest row, whichever
        is less: a clock that is ahead makes nothing old, and a row dated ahead keeps no other.
        Rows from ``needed_since`` on stay, however old.
        """
        (newest,) = connection.execute(
            f"SELECT max({self.moment}) FROM {self.table} WHERE {self.moment} IS NOT NULL"
        ).fetchone()
        if newest is None:
            return 0
        before = min(now, from_text(newest)) - keep
        if needed_since is not None:
            before = min(before, needed_since)
        cursor = connection.execute(
            f"DELETE FROM {self.table} WHERE ({self.key}) IN"
            f" (SELECT {self.key} FROM {self.table} WHERE {self.moment} < ?"
            f"  ORDER BY {self.moment} LIMIT ?)",
            (to_text(before), SLICE_ROWS),
        )
        return cursor.rowcount
