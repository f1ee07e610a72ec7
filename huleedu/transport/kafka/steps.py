"""The steps of an outbox's relay, named so that a test can stop or kill it between any two."""

from collections.abc import Awaitable, Callable
from enum import StrEnum, auto


class Step(StrEnum):
    """What has just been done (or, where it says so, is about to be)."""

    LEASE_TAKEN = auto()
    ENDING_NOTED = auto()
    """What the broker knows of the last transaction's ending is in the store."""
    STARTED = auto()
    """The new producer runs: its predecessor is fenced off and its transaction ended."""
    DECIDED = auto()
    """Whatever was left undecided has ended as the last transaction had."""
    POSITION_READ = auto()
    CAUGHT_UP = auto()
    """Rows up to the position are marked."""
    SLICE_READ = auto()
    BEGUN = auto()
    ROW_SENT = auto()
    """One row was handed over; comes once for each."""
    ROWS_ACKNOWLEDGED = auto()
    POSITION_SENT = auto()
    COMMITTED = auto()
    MARKED = auto()
    BEAT_DUE = auto()
    """The lease is about to be renewed."""
    BEATEN = auto()


At = Callable[[Step], Awaitable[None]]
"""Is told of each step before the next one begins."""


async def no_stop(step: Step) -> None:
    """Go on at once."""
