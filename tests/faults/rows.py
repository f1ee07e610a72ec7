"""The rows: what is promised, in full and as the sample that every test run makes."""

from collections.abc import Awaitable, Callable
from functools import partial
from signal import SIGKILL, SIGTERM
from typing import NamedTuple

from tests.faults.ground import Ground, Outcome
from tests.faults.row_bounces import MATRIX, Wanted, bounces
from tests.faults.row_broker_away import broker_away
from tests.faults.row_rebalances import rebalances
from tests.faults.row_zombie import zombies

Run = Callable[[Ground], Awaitable[Outcome]]


class Row(NamedTuple):
    """One promise and how it is tried."""

    name: str
    promise: str
    full: Run
    sample: Run


ROWS = (
    Row(
        "2",
        "whoever is killed or stopped, nothing is lost, nothing happens twice, order is kept",
        partial(bounces, cases=MATRIX, batches=270, seconds=15.0, classes=20, essays=20),
        partial(
            bounces,
            cases=[Wanted("broker", SIGKILL, False), Wanted("els-worker", SIGTERM, False)],
            batches=20,
            seconds=4.0,
            classes=0,
            essays=0,
        ),
    ),
    Row(
        "4",
        "a rebalance loses nothing and strands nothing",
        partial(rebalances, loops=26, batch_counts=(334, 334, 3_000, 3_000)),
        partial(rebalances, loops=4, batch_counts=(40,)),
    ),
    Row(
        "away",
        "the broker is away under load: what was accepted waits, and is done soon after",
        partial(broker_away, away_seconds=60, batches=60, essays=5, ways=("killed", "paused")),
        partial(broker_away, away_seconds=5, batches=6, essays=3, ways=("killed",)),
    ),
    Row(
        "zombie",
        "who wakes up after others took over does nothing twice and takes part again",
        partial(zombies, naps=8, batch_count=334),
        partial(zombies, naps=1, batch_count=20),
    ),
)
