"""A batch as a row of its table, and back."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from huleedu.bos.model import Batch, Cancellation
from huleedu.core.clock import from_text, moment_of, text_of, to_text
from huleedu.core.enums import BatchStatus, Language
from huleedu.core.pipeline_state import ProcessingPipelineState

_encode = msgspec.json.Encoder().encode
_pipelines = msgspec.json.Decoder(ProcessingPipelineState)
_essay_ids = msgspec.json.Decoder(list[str])

BATCH_COLUMNS = (
    "batch_id",
    "correlation_id",
    "language",
    "essay_count",
    "status",
    "attempt",
    "successful",
    "failed",
    "deadline",
    "extended_at",
    "extensions",
    "proceed_requested_at",
    "readiness_timed_out_at",
    "missing_essay_ids",
    "cancelled_at",
    "cancelled_by",
    "cancel_reason",
    "pipelines",
)


def batch_of(row: Mapping[str, Any]) -> Batch:
    """Return the batch of a row with these columns."""
    missing = row["missing_essay_ids"]
    return Batch(
        batch_id=row["batch_id"],
        correlation_id=UUID(row["correlation_id"]),
        language=Language(row["language"]),
        essay_count=row["essay_count"],
        status=BatchStatus(row["status"]),
        attempt=row["attempt"],
        successful=row["successful"],
        failed=row["failed"],
        deadline=moment_of(row["deadline"]),
        extended_at=moment_of(row["extended_at"]),
        extensions=row["extensions"],
        proceed_requested_at=moment_of(row["proceed_requested_at"]),
        readiness_timed_out_at=moment_of(row["readiness_timed_out_at"]),
        missing_essay_ids=None if missing is None else tuple(_essay_ids.decode(missing)),
        cancellation=_cancellation(row),
        pipelines=_pipelines.decode(row["pipelines"]),
    )


def _cancellation(row: Mapping[str, Any]) -> Cancellation | None:
    if row["cancelled_at"] is None:
        return None
    return Cancellation(
        at=from_text(row["cancelled_at"]),
        reason=row["cancel_reason"],
        cancelled_by=row["cancelled_by"],
    )


def changing(batch: Batch) -> dict[str, object]:
    """Return the columns that a decision may change, and the batch's id."""
    stopped = batch.cancellation
    missing = batch.missing_essay_ids
    dispatched_at, progressed_at = pipeline_moments(batch.pipelines)
    return {
        "status": batch.status.value,
        "attempt": batch.attempt,
        "successful": batch.successful,
        "failed": batch.failed,
        "deadline": text_of(batch.deadline),
        "extended_at": text_of(batch.extended_at),
        "extensions": batch.extensions,
        "proceed_requested_at": text_of(batch.proceed_requested_at),
        "readiness_timed_out_at": text_of(batch.readiness_timed_out_at),
        "missing_essay_ids": None if missing is None else _encode(missing),
        "cancelled_at": None if stopped is None else to_text(stopped.at),
        "cancelled_by": None if stopped is None else stopped.cancelled_by,
        "cancel_reason": None if stopped is None else stopped.reason,
        "pipelines": _encode(batch.pipelines),
        "dispatched_at": dispatched_at,
        "progressed_at": progressed_at,
        "batch_id": batch.batch_id,
    }


def pipeline_moments(pipelines: ProcessingPipelineState) -> tuple[str | None, str]:
    """Return when the spell-check was commanded, and when anything last changed."""
    detail = pipelines.spellcheck
    return text_of(None if detail is None else detail.started_at), to_text(pipelines.last_updated)
