"""How much waits in an outbox and for how long, as metrics, whoever relays it."""

from collections.abc import Collection
from datetime import timedelta
from functools import partial

from huleedu.core.clock import Clock, from_text
from huleedu.core.metrics import GROUP_BACKLOG_ROWS, OUTBOX_OLDEST_SECONDS, OUTBOX_ROWS
from huleedu.store import outbox
from huleedu.store.database import Database

GAUGE_SECONDS = 5.0
"""How often a relay measures."""
GROUP_ROWS_MAX = 100_000
GROUP_AGE_MAX = timedelta(days=20)
"""Of what a group of the memory bus has not handled; less than its handled ids are kept for."""


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


async def group_too_far_behind(
    database: Database, topics: Collection[str], group: str, clock: Clock
) -> str | None:
    """Set the gauge of what a group has not handled; say so when it is out of bounds.

    Raises ``StoreUnavailable``.
    """
    rows, oldest = await database.read(partial(outbox.backlog_of, topics=topics, group=group))
    module = database.path.stem
    GROUP_BACKLOG_ROWS.labels(module, group).set(rows)
    age = timedelta() if oldest is None else clock.now() - from_text(oldest)
    if rows <= GROUP_ROWS_MAX and age <= GROUP_AGE_MAX:
        return None
    return (
        f"{group} has not handled {rows} messages of {module}, the oldest for {age.days} days; "
        "they are kept: see why it does not go on"
    )
