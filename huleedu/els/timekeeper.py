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

    While the store cannot be used they wait, and pass later.  So do phases while ``hears`` tells
    that no results come through, whoever is to blame.
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
            if is_hearing := hears():
                await timekeeper.listen(now)
            while await timekeeper.look(now, phases=is_hearing):
                pass
            pause = await timekeeper.seconds_left(now)
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

    async def listen(self, now: datetime) -> None:
        """Note now and then that results are heard, while any are waited for.

        Raises ``StoreUnavailable``.
        """
        if await self._database.read(lambda db: _should_be_told(db, now)):
            await self._database.write(lambda db: Deadlines(db, now).listen())

    async def look(self, now: datetime, *, phases: bool) -> bool:
        """Let a slice pass of what is due at this moment; tell whether there was anything.

        Without ``phases`` only readiness is looked at.

        Raises ``StoreUnavailable``; then nothing passed.
        """
        if not await self._database.read(lambda db: self._is_due(db, now, phases)):
            return False
        timeouts, concluded = await self._database.write(lambda db: self._pass(db, now, phases))
        ELS_READINESS_TIMEOUTS.inc(len(timeouts))
        ELS_PHASES_OVERDUE.inc(len(concluded))
        for batch_id in timeouts:
            _logger.info("readiness_timed_out", batch_id=batch_id)
        for batch_id in concluded:
            _logger.warning("phase_overdue", batch_id=batch_id)
        return True

    async def seconds_left(self, now: datetime) -> float:
        """Return after how many seconds to look again."""
        deadline = await self._database.read(next_deadline)
        if deadline is None:
            return LOOK_SECONDS_MAX
        left = (deadline - now).total_seconds()
        return min(LOOK_SECONDS_MAX, max(LOOK_SECONDS_MIN, left))

    def _is_due(self, connection: sqlite3.Connection, now: datetime, phases: bool) -> bool:
        deadline = next_deadline(connection)
        if deadline is not None and deadline <= now:
            return True
        return phases and bool(overdue_phases(connection, now, self._phase_timeout, 1))

    def _pass(
        self, connection: sqlite3.Connection, now: datetime, phases: bool
    ) -> tuple[Sequence[str], Sequence[str]]:
        deadlines = Deadlines(connection, now)
        _, timeouts = deadlines.pass_readiness(SLICE_BATCHES)
        concluded: Sequence[Conclusion] = ()
        if phases:
            _, concluded = deadlines.pass_phases(self._phase_timeout, SLICE_BATCHES)
        late, over = [one.batch_id for one in timeouts], [one.batch_id for one in concluded]
        correlation = correlation_ids(connection, [*late, *over])
        said: list[Message] = [
            *(speech.batch_readiness_timeout(o, correlation[o.batch_id], now) for o in timeouts),
            *(speech.phase_concluded(o, correlation[o.batch_id], now) for o in concluded),
        ]
        outbox.add(connection, said, now)
        return late, over


def _should_be_told(connection: sqlite3.Connection, now: datetime) -> bool:
    until = listened_until(connection)
    fresh = until is not None and timedelta() <= now - until < TOLD_EVERY
    return not fresh and is_in_phase(connection)
