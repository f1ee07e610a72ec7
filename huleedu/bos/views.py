"""Batches as callers read them: one SELECT each, past the model."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from huleedu.bos.stalls import CLOCK_AHEAD_MAX, OPEN, Stall, Standing, Timing, stall_of
from huleedu.core.clock import from_text, moment_of, to_text
from huleedu.core.enums import BatchStatus
from huleedu.core.messages import EssayProcessingInputRefV1
from huleedu.core.pipeline_state import ProcessingPipelineState

_pipelines = msgspec.json.Decoder(ProcessingPipelineState)
_essay_ids = msgspec.json.Decoder(list[str])
_essays = msgspec.json.Decoder(list[EssayProcessingInputRefV1])
_STANDING = (
    "registered_at",
    "status",
    "deadline",
    "readiness_timeout_seconds",
    "readiness_timed_out_at",
    "proceed_requested_at",
    "dispatched_at",
    "progressed_at",
)
_SUMMARY = (
    "batch_id",
    "correlation_id",
    "course_code",
    "class_designation",
    "essay_count",
    "attempt",
    "pipelines",
    *_STANDING,
)
_WHOLE = (
    "essay_ids",
    "essay_instructions",
    "missing_essay_ids",
    "cancelled_at",
    "cancelled_by",
    "cancel_reason",
    *_SUMMARY,
)


class StallView(msgspec.Struct, frozen=True, kw_only=True):
    """Since when nobody takes the batch up, and what it waits for."""

    since: str
    reason: str


class BatchSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as one line of a list; times are ISO 8601 in UTC."""

    batch_id: str
    correlation_id: str
    status: BatchStatus
    registered_at: str
    course_code: str
    class_designation: str
    expected_essay_count: int
    attempt: int
    pipeline_state: ProcessingPipelineState
    stalled: StallView | None


class BatchPage(msgspec.Struct, frozen=True, kw_only=True):
    """Batches, newest first; ``next_position`` is where the next page starts, None at the end."""

    batches: Sequence[BatchSummary]
    next_position: int | None


class ContextView(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch was registered with, and whether it waited in vain."""

    expected_essay_count: int
    essay_ids: list[str]
    course_code: str
    class_designation: str
    essay_instructions: str
    readiness_timeout_seconds: float | None
    readiness_timed_out_at: str | None


class ReadinessView(msgspec.Struct, frozen=True, kw_only=True):
    """How far the texts are, as ELS last said: at a deadline, or when the batch was ready.

    Counts and ids are null until it said something.  ``deadline`` is the teacher's where one was
    set, else about when ELS, who counts from the registration's arrival, will say what is missing.
    """

    deadline: str
    extensions: int
    timed_out_at: str | None
    proceed_requested_at: str | None
    ready_count: int | None
    missing_count: int | None
    missing_essay_ids: Sequence[str] | None


class CancellationView(msgspec.Struct, frozen=True, kw_only=True):
    """When, by whom and why the batch was cancelled."""

    cancelled_at: str
    cancelled_by: str | None
    reason: str | None


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """All that BOS knows of one batch."""

    batch_id: str
    correlation_id: str
    status: BatchStatus
    registered_at: str
    attempt: int
    context: ContextView
    readiness: ReadinessView
    cancellation: CancellationView | None
    stalled: StallView | None
    pipeline_state: ProcessingPipelineState


def list_batches(
    connection: sqlite3.Connection,
    limit: int,
    timing: Timing,
    before: int | None = None,
    status: BatchStatus | None = None,
) -> BatchPage:
    """Return up to ``limit`` batches registered before the position ``before``, newest first."""
    wanted = ["position < :before"] if before is not None else []
    wanted += ["status = :status"] if status is not None else []
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    rows = connection.execute(
        f"SELECT position, {', '.join(_SUMMARY)} FROM batch {where}"
        " ORDER BY position DESC LIMIT :rows",
        {"before": before, "status": status, "rows": limit + 1},
    ).fetchall()
    others_since = _others_since(connection, timing)
    named = [dict(zip(_SUMMARY, row[1:], strict=True)) for row in rows[:limit]]
    batches = [_summary(row, timing, others_since) for row in named]
    return BatchPage(batches=batches, next_position=rows[limit - 1][0] if rows[limit:] else None)


def find_batch(connection: sqlite3.Connection, batch_id: str, timing: Timing) -> BatchView | None:
    """Return a batch, or None when it was never registered here."""
    values = connection.execute(
        f"SELECT {', '.join(_WHOLE)}, extensions,"
        " (SELECT essays FROM attempt WHERE batch_id = batch.batch_id AND attempt = 1)"
        " FROM batch WHERE batch_id = ?",
        (batch_id,),
    ).fetchone()
    if values is None:
        return None
    row = dict(zip((*_WHOLE, "extensions", "ready_essays"), values, strict=True))
    summary = _summary(row, timing, _others_since(connection, timing))
    essay_ids = _essay_ids.decode(row["essay_ids"])
    return BatchView(
        batch_id=summary.batch_id,
        correlation_id=summary.correlation_id,
        status=summary.status,
        registered_at=summary.registered_at,
        attempt=summary.attempt,
        context=ContextView(
            expected_essay_count=summary.expected_essay_count,
            essay_ids=essay_ids,
            course_code=summary.course_code,
            class_designation=summary.class_designation,
            essay_instructions=row["essay_instructions"],
            readiness_timeout_seconds=row["readiness_timeout_seconds"],
            readiness_timed_out_at=row["readiness_timed_out_at"],
        ),
        readiness=_readiness(row, essay_ids, timing),
        cancellation=_cancellation(row),
        stalled=summary.stalled,
        pipeline_state=summary.pipeline_state,
    )


def count_stalled(connection: sqlite3.Connection, timing: Timing) -> int:
    """Return how many batches are stalled."""
    others_since = _others_since(connection, timing)
    rows = connection.execute(
        f"SELECT {', '.join(_STANDING)} FROM batch WHERE status IN ({', '.join('?' * len(OPEN))})",
        [status.value for status in OPEN],
    )
    named = (dict(zip(_STANDING, row, strict=True)) for row in rows)
    return sum(_stall(row, timing, others_since) is not None for row in named)


def _summary(row: Mapping[str, Any], timing: Timing, others_since: datetime | None) -> BatchSummary:
    stall = _stall(row, timing, others_since)
    return BatchSummary(
        batch_id=row["batch_id"],
        correlation_id=row["correlation_id"],
        status=BatchStatus(row["status"]),
        registered_at=row["registered_at"],
        course_code=row["course_code"],
        class_designation=row["class_designation"],
        expected_essay_count=row["essay_count"],
        attempt=row["attempt"],
        pipeline_state=_pipelines.decode(row["pipelines"]),
        stalled=None
        if stall is None
        else StallView(since=to_text(stall.since), reason=stall.reason),
    )


def _stall(row: Mapping[str, Any], timing: Timing, others_since: datetime | None) -> Stall | None:
    standing = Standing(
        status=BatchStatus(row["status"]),
        deadline=_deadline(row, timing),
        timed_out_at=moment_of(row["readiness_timed_out_at"]),
        proceed_requested_at=moment_of(row["proceed_requested_at"]),
        dispatched_at=moment_of(row["dispatched_at"]),
        progressed_at=moment_of(row["progressed_at"]),
        others_since=others_since,
    )
    return stall_of(standing, timing.patience, timing.now)


def _others_since(connection: sqlite3.Connection, timing: Timing) -> datetime | None:
    # A time further ahead was read from a clock that was wrong, and says nothing about now.
    (earliest,) = connection.execute(
        "SELECT min(dispatched_at) FROM batch WHERE progressed_at > ? AND progressed_at <= ?",
        (to_text(timing.now - timing.patience.pipeline), to_text(timing.now + CLOCK_AHEAD_MAX)),
    ).fetchone()
    return moment_of(earliest)


def _deadline(row: Mapping[str, Any], timing: Timing) -> datetime:
    if row["deadline"] is not None:
        return from_text(row["deadline"])
    seconds = row["readiness_timeout_seconds"]
    waits = timing.readiness_timeout if seconds is None else timedelta(seconds=seconds)
    return from_text(row["registered_at"]) + waits


def _readiness(row: Mapping[str, Any], essay_ids: Sequence[str], timing: Timing) -> ReadinessView:
    missing: Sequence[str] | None = None
    if row["ready_essays"] is not None:
        ready = {essay.essay_id for essay in _essays.decode(row["ready_essays"])}
        missing = [essay_id for essay_id in essay_ids if essay_id not in ready]
    elif row["missing_essay_ids"] is not None:
        missing = _essay_ids.decode(row["missing_essay_ids"])
    return ReadinessView(
        deadline=to_text(_deadline(row, timing)),
        extensions=row["extensions"],
        timed_out_at=row["readiness_timed_out_at"],
        proceed_requested_at=row["proceed_requested_at"],
        ready_count=None if missing is None else max(0, len(essay_ids) - len(missing)),
        missing_count=None if missing is None else len(missing),
        missing_essay_ids=missing,
    )


def _cancellation(row: Mapping[str, Any]) -> CancellationView | None:
    if row["cancelled_at"] is None:
        return None
    return CancellationView(
        cancelled_at=row["cancelled_at"],
        cancelled_by=row["cancelled_by"],
        reason=row["cancel_reason"],
    )
