"""Batches as callers read them: one SELECT each, past the model."""

import sqlite3
from collections.abc import Sequence

import msgspec

from huleedu.core.enums import BatchStatus
from huleedu.core.pipeline_state import ProcessingPipelineState

_pipelines = msgspec.json.Decoder(ProcessingPipelineState)
_essay_ids = msgspec.json.Decoder(list[str])
_SUMMARY = (
    "batch_id, correlation_id, status, registered_at, course_code, class_designation, essay_count,"
    " attempt, pipelines"
)


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


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """All that BOS knows of one batch."""

    batch_id: str
    correlation_id: str
    status: BatchStatus
    registered_at: str
    attempt: int
    context: ContextView
    pipeline_state: ProcessingPipelineState


def list_batches(
    connection: sqlite3.Connection,
    limit: int,
    before: int | None = None,
    status: BatchStatus | None = None,
) -> BatchPage:
    """Return up to ``limit`` batches registered before the position ``before``, newest first."""
    wanted = ["position < :before"] if before is not None else []
    wanted += ["status = :status"] if status is not None else []
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    rows = connection.execute(
        f"SELECT position, {_SUMMARY} FROM batch {where} ORDER BY position DESC LIMIT :rows",
        {"before": before, "status": status, "rows": limit + 1},
    ).fetchall()
    batches = [_summary(row[1:]) for row in rows[:limit]]
    return BatchPage(batches=batches, next_position=rows[limit - 1][0] if rows[limit:] else None)


def find_batch(connection: sqlite3.Connection, batch_id: str) -> BatchView | None:
    """Return a batch, or None when it was never registered here."""
    row = connection.execute(
        f"SELECT {_SUMMARY}, essay_ids, essay_instructions, readiness_timeout_seconds,"
        " readiness_timed_out_at FROM batch WHERE batch_id = ?",
        (batch_id,),
    ).fetchone()
    if row is None:
        return None
    essay_ids, instructions, timeout_seconds, timed_out_at = row[9:]
    summary = _summary(row[:9])
    return BatchView(
        batch_id=summary.batch_id,
        correlation_id=summary.correlation_id,
        status=summary.status,
        registered_at=summary.registered_at,
        attempt=summary.attempt,
        context=ContextView(
            expected_essay_count=summary.expected_essay_count,
            essay_ids=_essay_ids.decode(essay_ids),
            course_code=summary.course_code,
            class_designation=summary.class_designation,
            essay_instructions=instructions,
            readiness_timeout_seconds=timeout_seconds,
            readiness_timed_out_at=timed_out_at,
        ),
        pipeline_state=summary.pipeline_state,
    )


def _summary(row: tuple[str, str, str, str, str, str, int, int, bytes]) -> BatchSummary:
    batch_id, correlation_id, status, registered_at, course, designation, count, n, pipelines = row
    return BatchSummary(
        batch_id=batch_id,
        correlation_id=correlation_id,
        status=BatchStatus(status),
        registered_at=registered_at,
        course_code=course,
        class_designation=designation,
        expected_essay_count=count,
        attempt=n,
        pipeline_state=_pipelines.decode(pipelines),
    )
