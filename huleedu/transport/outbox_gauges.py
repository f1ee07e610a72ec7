"""How much waits in an outbox and for how long, as metrics, whoever relays it."""

from huleedu.core.clock import Clock, from_text
from huleedu.core.metrics import OUTBOX_OLDEST_SECONDS, OUTBOX_ROWS
from huleedu.store import outbox
from huleedu.store.database import Database

GAUGE_SECONDS = 5.0
"""How often a relay measures."""


async def measure_outbox(database: Database, clock: Clock) -> int:
    """Set the gauges of this store's outbox; return how many rows wait.

    Raises ``StoreUnavailable``.
    """
    rows, oldest = await database.read(outbox.backlog)
    age = 0.0 if oldest is None else (clock.now() - from_text(oldest)).total_seconds()
    module = database.path.stem
    OUTBOX_ROWS.labels(module).set(rows)
    OUTBOX_OLDEST_SECONDS.labels(module).set(max(0.0, age))
    return rows
