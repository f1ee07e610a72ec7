"""Forgetting what is no longer needed, in small slices beside the work."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from huleedu.core.errors import StoreUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.store.database import Database
from huleedu.store.handled import purge_handled
from huleedu.store.outbox import purge_sent

ROUND_SECONDS = 3_600.0
KEEP_SENT = timedelta(days=7)
KEEP_HANDLED = timedelta(days=30)

Purge = Callable[[sqlite3.Connection, datetime, timedelta], int]
"""Deletes at most one slice of rows older than so much; returns how many it deleted."""

_logger = create_service_logger("housekeeping")


@dataclass(frozen=True)
class Chore:
    """Rows of one store that are kept for so long."""

    store: Database
    purge: Purge
    keep: timedelta


def chores_of(stores: Sequence[Database]) -> Sequence[Chore]:
    """Return what every store with an outbox forgets: sent rows and handled event ids."""
    kept: tuple[tuple[Purge, timedelta], ...] = (
        (purge_sent, KEEP_SENT),
        (purge_handled, KEEP_HANDLED),
    )
    return [Chore(store, purge, keep) for store in stores for purge, keep in kept]


async def keep_house(chores: Sequence[Chore], platform: Platform) -> None:
    """Do every chore once an hour; never returns.

    A slice is one transaction, so that requests never wait for more than that.
    """
    while True:
        for chore in chores:
            try:
                await _do(chore, platform)
            except StoreUnavailable as fault:
                name = chore.store.path.stem
                _logger.warning("housekeeping_postponed", store=name, error=str(fault))
        await platform.clock.sleep(ROUND_SECONDS)


async def _do(chore: Chore, platform: Platform) -> None:
    rows = 0
    now = platform.clock.now()
    while deleted := await chore.store.write(lambda db: chore.purge(db, now, chore.keep)):
        rows += deleted
    if rows:
        _logger.info("rows_purged", store=chore.store.path.stem, rows=rows)
