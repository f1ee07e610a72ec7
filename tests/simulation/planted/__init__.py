"""Bugs, each in force only where a run is made of its build: the simulation must catch them."""

from collections.abc import Mapping
from types import MappingProxyType

from tests.simulation.planted.deciding import (
    EarlyContentDropped,
    TransitionCheckSkipped,
    WrongSlotCount,
)
from tests.simulation.planted.keeping import (
    DeadLetterBeforeCommit,
    DeadlineOnlyInMemory,
    DedupeRemoved,
    EndingForgotten,
    OffsetCommittedFirst,
    OutboxMarkedBeforePublish,
    ProjectionAppliedTwice,
    RetryWithoutBackoff,
    SilentReconnection,
)
from tests.simulation.planted.waiting import HandledForgottenEarly, OffsetPastUnhandled
from tests.simulation.world import Build

PLANTED: Mapping[str, type[Build]] = MappingProxyType(
    {
        "dedupe-removed": DedupeRemoved,
        "outbox-marked-before-publish": OutboxMarkedBeforePublish,
        "offset-committed-first": OffsetCommittedFirst,
        "early-content-dropped": EarlyContentDropped,
        "deadline-only-in-memory": DeadlineOnlyInMemory,
        "wrong-slot-count": WrongSlotCount,
        "transition-check-skipped": TransitionCheckSkipped,
        "retry-without-backoff": RetryWithoutBackoff,
        "projection-applied-twice": ProjectionAppliedTwice,
        "dead-letter-before-commit": DeadLetterBeforeCommit,
        "ending-forgotten": EndingForgotten,
        "silent-reconnection": SilentReconnection,
        "handled-forgotten-early": HandledForgottenEarly,
        "offset-past-unhandled": OffsetPastUnhandled,
    }
)
"""What is wrong → the build that has it."""
