"""The rows: what is promised, in full and as the sample that every test run makes."""

from collections.abc import Awaitable, Callable
from functools import partial
from signal import SIGKILL, SIGTERM
from typing import NamedTuple

from huleedu.transport.kafka.consumer_times import DEFAULT_TIMES
from tests.faults.ground import Ground, Outcome
from tests.faults.row_all_fail import everything_fails
from tests.faults.row_bounces import MATRIX, THREE_TIMES, Wanted, bounces
from tests.faults.row_broker_away import broker_away
from tests.faults.row_frozen import frozen
from tests.faults.row_poison import poisoned
from tests.faults.row_rebalances import rebalances
from tests.faults.row_replay import replayed_twice
from tests.faults.row_slow_handler import slow_handlers
from tests.faults.row_unknown_outcome import unknown_outcomes
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
        partial(
            bounces,
            cases=MATRIX,
            bounce_at=THREE_TIMES,
            batches=270,
            seconds=15,
            classes=20,
            essays=20,
        ),
        partial(
            bounces,
            cases=[Wanted("els-worker", SIGKILL, False), Wanted("bos-worker", SIGTERM, True)],
            bounce_at=(0.3,),
            batches=20,
            seconds=4,
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
        partial(broker_away, away_seconds=5, batches=6, essays=3, ways=("paused", "killed")),
    ),
    Row(
        "zombie",
        "who wakes up after others took over does nothing twice and takes part again",
        partial(zombies, naps=8, batch_count=334, session_seconds=10),
        partial(zombies, naps=1, batch_count=20, session_seconds=2),
    ),
    Row(
        "5",
        "a handler may take longer than a member may be silent",
        partial(slow_handlers, groups=25, messages_each=2, max_poll_seconds=10),
        partial(slow_handlers, groups=2, messages_each=1, max_poll_seconds=4),
    ),
    Row(
        "6",
        "a consumer that stands still is told of and heals",
        partial(
            frozen, groups=10, watchdog_seconds=DEFAULT_TIMES.watchdog_seconds, cut_seconds=120
        ),
        partial(frozen, groups=2, watchdog_seconds=2.0, cut_seconds=0),
    ),
    Row(
        "7",
        "after every unknown outcome rows flow again, none lost, none twice",
        partial(unknown_outcomes, killed=20, cut=150, fenced=15, gap=15),
        partial(unknown_outcomes, killed=2, cut=6, fenced=0, gap=2),
    ),
    Row(
        "8",
        "a message that cannot be handled stops nothing and is kept whole",
        partial(poisoned, batch_count=330),
        partial(poisoned, batch_count=40),
    ),
    Row(
        "9",
        "dead letters replayed twice leave the same state, and no history without end",
        partial(replayed_twice, batches=33),
        partial(replayed_twice, batches=3),
    ),
    Row(
        "10",
        "where everything fails a group stops instead of filling its dead letters",
        partial(everything_fails, messages=1_000, stays_seconds=10),
        partial(everything_fails, messages=300, stays_seconds=2),
    ),
)
