"""How many batches are stalled, as a metric."""

from huleedu.bos.stalls import timing_at
from huleedu.bos.views import count_stalled
from huleedu.core.errors import StoreUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.metrics import BOS_BATCHES_STALLED
from huleedu.core.platform import Platform
from huleedu.core.settings import Settings
from huleedu.store.database import Database

MEASURE_SECONDS = 60.0
"""How often the stalled batches are counted: far below the shortest sensible patience."""

_logger = create_service_logger("bos")


async def measure_stalled(database: Database, platform: Platform, settings: Settings) -> int:
    """Set the gauge, and return how many batches are stalled.  Raises ``StoreUnavailable``."""
    timing = timing_at(platform.clock.now(), settings)
    stalled = await database.read(lambda db: count_stalled(db, timing))
    BOS_BATCHES_STALLED.set(stalled)
    return stalled


async def watch_for_stalls(database: Database, platform: Platform, settings: Settings) -> None:
    """Measure for as long as the process runs, and log whenever more have stalled."""
    before = 0
    while True:
        try:
            stalled = await measure_stalled(database, platform, settings)
        except StoreUnavailable as fault:
            _logger.warning("stalled_batches_not_counted", error=str(fault))
        else:
            if stalled > before:
                _logger.warning("batches_stalled", batches=stalled)
            before = stalled
        await platform.clock.sleep(MEASURE_SECONDS)
