"""The background task of ELS: it lets deadlines pass, and says what follows."""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from huleedu.core.errors import StoreUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.message import Message
from huleedu.core.metrics import ELS_PHASES_OVERDUE, ELS_READINESS_TIMEOUTS
from huleedu.core.platform import Platform
from huleedu.core.settings import ElsSettings
from huleedu.els import speech
from huleedu.els.clock_leaps import bring_back, is_anything_ahead
from huleedu.els.deadlines import (
    Deadlines,
    is_in_phase,
    listened_until,
    next_deadline,
    overdue_phases,
)
from huleedu.els.phases import Conclusion
from huleedu.els.store import correlation_ids
from huleedu.store import outbox
from huleedu.store.database import Database

LOOK_SECONDS_MAX = 1.0
"""How late a deadline may pass: one that another process sets wakes nobody here."""
LOOK_SECONDS_MIN = 0.05
TOLD_EVERY = timedelta(seconds=10)
"""How often it is noted that results are heard; well below ``deadlines.SILENCE_MAX``."""
SLICE_BATCHES = 50
"""Batches of one transaction: each may name a thousand essays."""

_logger = create_service_logger("els")


def _always() -> bool:
    return True


async def keep_deadlines(
    database: Database,
    platform: Platform,
    settings: ElsSettings,
    hears: Callable[[], bool] = _always,
) -> None:
    """Let every deadline in this store pass, once, however many processes do so; never returns.

    While the store cannot be used they wait, and pass later.  So do phases while ``hears`` is
    false: no results reach the consumer group of ELS.  The trouble of other groups is not asked.
    """
    timekeeper = Timekeeper(database, settings)
    adopted = False
    while True:
        now = platform.clock.now()
        pause = LOOK_SECONDS_MAX
        try:
            if not adopted:
                await timekeeper.adopt(now)
                adopted = True
            deadline = await timekeeper.look(now, is_hearing=hears())
            if deadline is not None:
                left = (deadline - now).total_seconds()
                pause = min(LOOK_SECONDS_MAX, max(LOOK_SECONDS_MIN, left))
        except StoreUnavailable as fault:
            _logger.warning("deadlines_postponed", error=str(fault))
        await platform.clock.sleep(pause)


class Timekeeper:
    """Looks for deadlines that are due; a slice of them is one transaction."""

    def __init__(self, database: Database, settings: ElsSettings) -> None:
        self._database = database
        self._readiness_timeout = timedelta(seconds=settings.readiness_timeout_seconds)
        self._phase_timeout = timedelta(seconds=settings.phase_timeout_seconds)

    async def adopt(self, now: datetime) -> None:
        """Give deadlines to the batches of an older program.  Raises ``StoreUnavailable``."""
        timeout = self._readiness_timeout
        adopted = await self._database.write(lambda db: Deadlines(db, now).adopt(timeout))
        if adopted:
            _logger.info("deadlines_adopted", batches=adopted)

    async def look(self, now: datetime, *, is_hearing: bool) -> datetime | None:
        """Let pass what is due at this moment; return the next deadline of readiness.

        Where nothing is due, as mostly, nothing is written.  Raises ``StoreUnavailable``; what
        passed by then has passed.
        """
        while True:
            is_due, deadline = await self._database.read(
                lambda db: self._outlook(db, now, is_hearing)
            )
            if not is_due:
                return deadline
            late, given_up = await self._database.write(lambda db: self._pass(db, now, is_hearing))
            ELS_READINESS_TIMEOUTS.inc(len(late))
            ELS_PHASES_OVERDUE.inc(len(given_up))
            for batch_id in late:
                _logger.info("readiness_timed_out", batch_id=batch_id)
            for batch_id in given_up:
                _logger.warning("phase_overdue", batch_id=batch_id)

    def _outlook(
        self, connection: sqlite3.Connection, now: datetime, is_hearing: bool
    ) -> tuple[bool, datetime | None]:
        deadline = next_deadline(connection)
        is_due = (
            (deadline is not None and deadline <= now)
            or is_anything_ahead(connection, now)
            or (
                is_hearing
                and (
                    _is_to_be_told(connection, now)
                    or bool(overdue_phases(connection, now, self._phase_timeout, 1))
                )
            )
        )
        return is_due, deadline

    def _pass(
        self, connection: sqlite3.Connection, now: datetime, is_hearing: bool
    ) -> tuple[Sequence[str], Sequence[str]]:
        if is_anything_ahead(connection, now):
            # Nothing is judged by times of which some are not right yet.
            bring_back(connection, now, SLICE_BATCHES)
            return (), ()
        deadlines = Deadlines(connection, now)
        timeouts = deadlines.pass_readiness(SLICE_BATCHES)
        concluded: Sequence[Conclusion] = ()
        if is_hearing:
            if _is_to_be_told(connection, now):
                deadlines.listen()
            concluded = deadlines.pass_phases(self._phase_timeout, SLICE_BATCHES)
        late, given_up = [one.batch_id for one in timeouts], [one.batch_id for one in concluded]
        correlation = correlation_ids(connection, [*late, *given_up])
        said: list[Message] = []
        for timeout in timeouts:
            said += speech.batch_readiness_timeout(timeout, correlation[timeout.batch_id], now)
        for conclusion in concluded:
            said += speech.phase_concluded(conclusion, correlation[conclusion.batch_id], now)
        outbox.add(connection, said, now)
        return late, given_up


def _is_to_be_told(connection: sqlite3.Connection, now: datetime) -> bool:
    """Tell whether it is time to note again that results are heard: they are waited for."""
    until = listened_until(connection)
    is_fresh = until is not None and timedelta() <= now - until < TOLD_EVERY
    return not is_fresh and is_in_phase(connection)
