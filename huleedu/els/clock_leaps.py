"""Times of batches that lie ahead of the clock, because it was wrong when they were read from it.

A clock that was ahead and is right again would otherwise put off whatever counts from such a time
until the clock gets there, which may be years.
"""

import sqlite3
from datetime import datetime

from huleedu.core.clock import moment_of, text_of, to_text
from huleedu.els.decide import LEAP_MIN, brought_back
from huleedu.els.model import BatchTimes

# Each part is a look into an index; where nothing is ahead it finds nothing there.
_AHEAD = " UNION ALL ".join(
    f"SELECT batch_number FROM batch WHERE {column} > :limit AND {condition}"
    for column, condition in (
        ("progressed_at", "progressed_at IS NOT NULL"),
        ("dispatched_at", "dispatched_at IS NOT NULL AND concluded_at IS NULL"),
        ("registered_at", "ready_at IS NULL"),
        ("deadline_from", "deadline_from IS NOT NULL"),
        ("timed_out", "timed_out IS NOT NULL"),
    )
)
_COLUMNS = [
    "registered_at",
    "deadline_at",
    "deadline_from",
    "timed_out",
    "dispatched_at",
    "progressed_at",
]


def is_anything_ahead(connection: sqlite3.Connection, now: datetime) -> bool:
    """Tell whether any time that a batch waits by was set by a clock that was ahead."""
    limit = to_text(now + LEAP_MIN)
    return connection.execute(f"{_AHEAD} LIMIT 1", {"limit": limit}).fetchone() is not None


def bring_back(connection: sqlite3.Connection, now: datetime, count: int) -> None:
    """Correct up to ``count`` times that are ahead, in the transaction of ``connection``.

    What is corrected is what ``decide.brought_back`` returns.
    """
    rows = connection.execute(
        f"SELECT batch_number, {', '.join(_COLUMNS)} FROM batch WHERE batch_number IN"
        f" (SELECT batch_number FROM ({_AHEAD} LIMIT :count))",
        {"limit": to_text(now + LEAP_MIN), "count": count},
    ).fetchall()
    connection.executemany(
        f"UPDATE batch SET {', '.join(f'{column} = ?' for column in _COLUMNS)}"
        " WHERE batch_number = ?",
        [(*_columns(brought_back(_times(row[1:]), now)), row[0]) for row in rows],
    )


def _times(row: tuple[str | None, ...]) -> BatchTimes:
    registered, deadline, deadline_from, timed_out, dispatched, progressed = map(moment_of, row)
    return BatchTimes(
        registered=registered,
        deadline=deadline,
        deadline_from=deadline_from,
        timed_out=timed_out,
        dispatched=dispatched,
        progressed=progressed,
    )


def _columns(times: BatchTimes) -> tuple[str | None, ...]:
    moments = (
        times.registered,
        times.deadline,
        times.deadline_from,
        times.timed_out,
        times.dispatched,
        times.progressed,
    )
    return tuple(map(text_of, moments))
