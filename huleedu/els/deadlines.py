"""Deadlines that passed: essays that are missing, and phases that stand still.

They are kept in the rows of their batches, so that they pass once whoever looks, and also after a
time in which nobody did.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from huleedu.core.clock import from_text, moment_of, to_text
from huleedu.core.enums import EssayStatus
from huleedu.core.essay_state import StateTransitionValidator
from huleedu.core.messages import EssayProcessingInputRefV1
from huleedu.els.decide import LEAP_MIN
from huleedu.els.phases import Conclusion, Phases
from huleedu.els.store import json_list

STOOD_STILL = "no answer came in time"
"""Why an essay failed whose check nobody answered."""

SILENCE_MAX = timedelta(minutes=1)
"""For how long nobody may have listened without phases counting anew."""

_IN_PHASE = "dispatched_at IS NOT NULL AND concluded_at IS NULL"


class ReadinessTimeout(msgspec.Struct, frozen=True):
    """A batch whose essays are not all there at its deadline."""

    batch_id: str
    deadline: str
    """The moment as it is stored; it tells this timeout from the batch's others."""
    seconds: float
    """From when the deadline was set until the deadline itself."""
    texts: Sequence[EssayProcessingInputRefV1]
    missing_essay_ids: Sequence[str]


def next_deadline(connection: sqlite3.Connection) -> datetime | None:
    """Return the earliest moment at which a registered batch may be told to lack essays."""
    (text,) = connection.execute(
        "SELECT min(deadline_at) FROM batch"
        " WHERE deadline_at IS NOT NULL AND registered_at IS NOT NULL"
    ).fetchone()
    return moment_of(text)


def overdue_phases(
    connection: sqlite3.Connection, now: datetime, limit: timedelta, count: int
) -> Sequence[str]:
    """Return up to ``count`` batches that ``decide.overdue`` names, the longest dispatched first.

    Where the first batch in the queue moves, which is asked of one row, there are none.
    """
    since, latest = to_text(now - limit), to_text(now + LEAP_MIN)
    first = connection.execute(
        f"SELECT progressed_at FROM batch WHERE {_IN_PHASE} ORDER BY dispatched_at LIMIT 1"
    ).fetchone()
    if first is None or first[0] is None or since < first[0] <= latest:
        return []
    return [
        batch_id
        for (batch_id,) in connection.execute(
            f"SELECT batch_id FROM batch WHERE {_IN_PHASE} AND dispatched_at < coalesce("
            # Nothing sorts behind a time as does the last character that there is.
            " (SELECT min(dispatched_at) FROM batch WHERE progressed_at > ?"
            "  AND progressed_at <= ?), char(1114111))"
            " ORDER BY dispatched_at LIMIT ?",
            (since, latest, count),
        )
    ]


def listened_until(connection: sqlite3.Connection) -> datetime | None:
    """Return when a process that hears results last said so; None: none did yet."""
    row = connection.execute("SELECT until FROM listening").fetchone()
    return moment_of(None if row is None else row[0])


def is_in_phase(connection: sqlite3.Connection) -> bool:
    """Tell whether any batch waits for results."""
    row = connection.execute(f"SELECT 1 FROM batch WHERE {_IN_PHASE} LIMIT 1").fetchone()
    return row is not None


class Deadlines:
    """Lets deadlines pass, in the transaction that ``connection`` is in."""

    def __init__(self, connection: sqlite3.Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._at = to_text(now)

    def adopt(self, readiness_timeout: timedelta) -> int:
        """Give deadlines to what an older program left without; returns to how many batches.

        They count from the registration.
        """
        waiting = self._connection.execute(
            "SELECT batch_id, registered_at FROM batch WHERE ready_at IS NULL"
            " AND registered_at IS NOT NULL AND cancelled_at IS NULL"
            " AND deadline_at IS NULL AND timed_out IS NULL"
        ).fetchall()
        self._connection.executemany(
            "UPDATE batch SET deadline_at = ? WHERE batch_id = ?",
            [(to_text(from_text(at) + readiness_timeout), batch_id) for batch_id, at in waiting],
        )
        return len(waiting)

    def listen(self) -> None:
        """Note that results are heard now.

        Where nobody heard them for long (ELS was down, the machine asleep, the broker away), phases
        count anew: the answers may be there, and wait to be heard.
        """
        until = listened_until(self._connection)
        if until is None or self._now - until > SILENCE_MAX:
            self._connection.execute(
                f"UPDATE batch SET progressed_at = ? WHERE {_IN_PHASE}", (self._at,)
            )
        self._connection.execute(
            "INSERT INTO listening (id, until) VALUES (1, ?)"
            " ON CONFLICT DO UPDATE SET until = excluded.until",
            (self._at,),
        )

    def pass_readiness(self, count: int) -> Sequence[ReadinessTimeout]:
        """Let up to ``count`` readiness deadlines pass that are due.

        Returns those of batches that wait for essays: the others pass without a word.
        """
        due = self._connection.execute(
            "SELECT batch_id, deadline_at, coalesce(deadline_from, registered_at),"
            " ready_at IS NULL AND cancelled_at IS NULL FROM batch"
            " WHERE deadline_at <= ? AND registered_at IS NOT NULL"
            " ORDER BY deadline_at LIMIT ?",
            (self._at, count),
        ).fetchall()
        self._connection.executemany(
            "UPDATE batch SET deadline_at = NULL,"
            " timed_out = CASE WHEN ? THEN deadline_at ELSE timed_out END WHERE batch_id = ?",
            [(waits, batch_id) for batch_id, _, _, waits in due],
        )
        return [
            self._timeout(batch_id, deadline, since)
            for batch_id, deadline, since, waits in due
            if waits
        ]

    def pass_phases(self, limit: timedelta, count: int) -> Sequence[Conclusion]:
        """Fail what is left of up to ``count`` phases that are overdue.

        Returns their outcomes; a cancelled batch has none.
        """
        batch_ids = overdue_phases(self._connection, self._now, limit, count)
        target = EssayStatus.SPELLCHECK_FAILED
        self._connection.execute(
            "UPDATE essay SET status = ?1, failure = ?2, updated_at = ?3,"
            " timeline = json_set(timeline, '$.' || ?1, ?3)"
            " WHERE batch_number IN (SELECT batch_number FROM batch"
            " WHERE batch_id IN (SELECT value FROM json_each(?4)))"
            " AND status IN (SELECT value FROM json_each(?5))",
            (
                target.value,
                STOOD_STILL,
                self._at,
                json_list(batch_ids),
                json_list(sorted(StateTransitionValidator.sources(target))),
            ),
        )
        self._connection.execute(
            "UPDATE batch SET pending = 0,"
            " concluded_at = CASE WHEN cancelled_at IS NULL THEN concluded_at ELSE ? END"
            " WHERE batch_id IN (SELECT value FROM json_each(?))",
            (self._at, json_list(batch_ids)),
        )
        return Phases(self._connection, self._now).conclude(batch_ids)

    def _timeout(self, batch_id: str, deadline: str, since: str) -> ReadinessTimeout:
        texts: list[EssayProcessingInputRefV1] = []
        missing: list[str] = []
        for essay_id, storage_id in self._connection.execute(
            "SELECT slot.value, essay.text_storage_id"
            " FROM batch JOIN json_each(batch.essay_ids) AS slot"
            " LEFT JOIN essay ON essay.batch_number = batch.batch_number"
            " AND essay.essay_id = slot.value"
            " WHERE batch.batch_id = ? ORDER BY slot.key",
            (batch_id,),
        ):
            if storage_id is None:
                missing.append(essay_id)
            else:
                texts.append(
                    EssayProcessingInputRefV1(essay_id=essay_id, text_storage_id=storage_id)
                )
        seconds = (from_text(deadline) - from_text(since)).total_seconds()
        return ReadinessTimeout(batch_id, deadline, max(0.0, seconds), texts, missing)
