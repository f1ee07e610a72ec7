"""Forgetting what is no longer needed, in small slices beside the work."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from huleedu.core.errors import StoreUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.store.database import Database
from huleedu.store.handled import purge_handled
from huleedu.store.outbox import purge_sent

ROUND_SECONDS = 3_600.0
KEEP_SENT = timedelta(days=7)
KEEP_HANDLED = timedelta(days=30)

_logger = create_service_logger("housekeeping")


async def keep_house(stores: Sequence[Database], platform: Platform) -> None:
    """Once an hour delete sent outbox rows of 7 days and handled event ids of 30; never returns.

    A slice is one transaction, so that requests never wait for more than that.
    """
    while True:
        for store in stores:
            try:
                await _sweep(store, platform)
            except StoreUnavailable as fault:
                _logger.warning("housekeeping_postponed", store=store.path.stem, error=str(fault))
        await platform.clock.sleep(ROUND_SECONDS)


async def _sweep(store: Database, platform: Platform) -> None:
    now = platform.clock.now()
    for purge, keep in ((purge_sent, KEEP_SENT), (purge_handled, KEEP_HANDLED)):
        rows = 0
        while deleted := await store.write(partial(purge, now=now, keep=keep)):
            rows += deleted
        if rows:
            _logger.info("rows_purged", store=store.path.stem, purge=purge.__name__, rows=rows)
