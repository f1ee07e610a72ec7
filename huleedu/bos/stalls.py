"""When a batch is marked as stalled: nobody took it up, or went on with it.

ELS says nothing of a batch until it is ready or its deadline passed, so silence means something
only after that deadline, after the wish to proceed, or once the spell-check was commanded.  A batch
whose check waits behind others is not stalled for as long as one that was commanded before it goes
on.  The mark is computed when somebody looks and changes nothing: every action stays possible.
"""

from datetime import datetime, timedelta

import msgspec

from huleedu.core.enums import BatchStatus
from huleedu.core.settings import Settings

_RUNNING = frozenset({BatchStatus.READY_FOR_PIPELINE_EXECUTION, BatchStatus.PROCESSING_PIPELINES})

OPEN = (BatchStatus.AWAITING_CONTENT_VALIDATION, *sorted(_RUNNING))
"""Statuses in which a batch can stall."""

CLOCK_AHEAD_MAX = timedelta(minutes=1)
"""By how much a time may lie ahead of the clock: another process of BOS may have read it."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long silence about a batch is no reason to worry."""

    readiness: timedelta
    """After a deadline, or the wish to proceed."""
    pipeline: timedelta
    """After the spell-check of a batch, or of one commanded before it, last went on."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """What the times of a batch are judged by, at one moment (UTC)."""

    now: datetime
    readiness_timeout: timedelta
    """How long ELS waits for the texts of a batch that does not say so itself."""
    patience: Patience


def timing_at(now: datetime, settings: Settings) -> Timing:
    """Return what times are judged by at this moment.

    ``settings`` are the deployment's: what ELS waits by is in its section.
    """
    grace = timedelta(seconds=settings.bos.stalled_seconds)
    # ELS itself ends a phase that does not go on; only its own silence is a stall.
    phase = timedelta(seconds=settings.els.phase_timeout_seconds)
    return Timing(
        now=now,
        readiness_timeout=timedelta(seconds=settings.els.readiness_timeout_seconds),
        patience=Patience(readiness=grace, pipeline=phase + grace),
    )


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What tells whether a batch has stalled; times are in UTC."""

    status: BatchStatus
    deadline: datetime
    timed_out_at: datetime | None = None
    proceed_requested_at: datetime | None = None
    dispatched_at: datetime | None = None
    progressed_at: datetime | None = None
    others_since: datetime | None = None
    """When the earliest of the batches was commanded that went on within ``Patience.pipeline``."""


class Stall(msgspec.Struct, frozen=True):
    """Since when a batch is stalled, and what it waits for in vain."""

    since: datetime
    reason: str


def stall_of(standing: Standing, patience: Patience, now: datetime) -> Stall | None:
    """Return the stall of a batch at this moment, or None."""
    if standing.status in _RUNNING:
        return _without_progress(standing, patience, now)
    if standing.status is not BatchStatus.AWAITING_CONTENT_VALIDATION:
        return None
    if standing.proceed_requested_at is not None:
        due = standing.proceed_requested_at + patience.readiness
        return _if_past(due, "it was told to go on, but nobody took that up", now)
    # A timeout of this deadline and no earlier one; the clocks of BOS and ELS may differ a little.
    timed_out_at = standing.timed_out_at
    if timed_out_at is not None and timed_out_at > standing.deadline - patience.readiness:
        return None  # it waits for a teacher, who was told
    due = standing.deadline + patience.readiness
    return _if_past(due, "its deadline has passed, but nobody took it up", now)


def _without_progress(standing: Standing, patience: Patience, now: datetime) -> Stall | None:
    dispatched_at = standing.dispatched_at
    if dispatched_at is None:
        return None
    others_since = standing.others_since
    if others_since is not None and others_since <= dispatched_at:
        return None
    last = max(dispatched_at, standing.progressed_at or dispatched_at)
    return _if_past(last + patience.pipeline, "nobody goes on with its check", now)


def _if_past(due: datetime, reason: str, now: datetime) -> Stall | None:
    return Stall(due, reason) if due <= now else None
