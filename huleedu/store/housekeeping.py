"""Forgetting what is no longer needed, in small slices beside the work."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from huleedu.core.clock import from_text
from huleedu.core.errors import StoreUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.store.database import Database
from huleedu.store.handled import purge_handled
from huleedu.store.outbox import backlog, purge_sent
from huleedu.store.purging import Purge

ROUND_SECONDS = 3_600.0
KEEP_SENT = timedelta(days=7)
KEEP_HANDLED = timedelta(days=30)

_logger = create_service_logger("housekeeping")


@dataclass(frozen=True)
class Chore:
    """Rows of one store that are kept for so long."""

    store: Database
    purge: Purge
    keep: timedelta
    outboxes: Sequence[Database] = ()
    """Stores of which a row that is not sent yet keeps everything that is younger than itself."""


def chores_of(stores: Sequence[Database], others: Sequence[Database] = ()) -> Sequence[Chore]:
    """Return what every store with an outbox forgets: sent rows and handled event ids.

    An event that waits in one of these outboxes, or in one of ``others``, may come again: the ids
    that were handled since it was said are kept for as long as it waits.
    """
    outboxes = (*stores, *others)
    return [
        *(Chore(store, purge_sent, KEEP_SENT) for store in stores),
        *(Chore(store, purge_handled, KEEP_HANDLED, outboxes) for store in stores),
    ]


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
    now, since = platform.clock.now(), await _waiting_since(chore.outboxes)
    while deleted := await chore.store.write(lambda db: chore.purge(db, now, chore.keep, since)):
        rows += deleted
    if rows:
        _logger.info("rows_purged", store=chore.store.path.stem, rows=rows)


async def _waiting_since(outboxes: Sequence[Database]) -> datetime | None:
    """Return when the oldest row was written that waits in any of these outboxes."""
    waiting = [(await outbox.read(backlog))[1] for outbox in outboxes]
    return min((from_text(oldest) for oldest in waiting if oldest is not None), default=None)
