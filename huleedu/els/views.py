"""What ELS answers when asked: one snapshot of its store each, past the decisions."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from huleedu.core.enums import ContentType, EssayStatus
from huleedu.core.errors import Conflict, NotFound
from huleedu.core.essay_state import TERMINAL
from huleedu.core.messages import SPELLCHECK_PHASE
from huleedu.els.store import NUMBERS_TOGETHER

WENT_ON_WITHOUT = "the batch went on without this essay"
"""Why an essay failed whose text had not come when its batch was closed."""


def essay_status(
    connection: sqlite3.Connection, essay_id: str, batch_id: str | None
) -> Mapping[str, Any]:
    """Return the state of one essay.

    Raises ``NotFound``, or ``Conflict`` that asks for the batch when several use this essay id.
    """
    essay = _essay(connection, essay_id, batch_id)
    done = [SPELLCHECK_PHASE] if essay["status"] == EssayStatus.SPELLCHECKED_SUCCESS else []
    return {
        "essay_id": essay_id,
        "batch_id": essay["batch_id"],
        "current_status": essay["status"],
        "processing_progress": {"completed_phases": done, "attempt": essay["attempt"]},
        "timeline": essay["timeline"],
        "last_updated": essay["updated_at"],
        "failure": essay["failure"],
        "storage_references": {
            kind.value: essay[column]
            for kind, column in _REFERENCES.items()
            if essay[column] is not None
        },
    }


def essay_timeline(
    connection: sqlite3.Connection, essay_id: str, batch_id: str | None
) -> Mapping[str, Any]:
    """Return when one essay reached which status.  Raises as :func:`essay_status`."""
    essay = _essay(connection, essay_id, batch_id)
    return {
        "essay_id": essay_id,
        "batch_id": essay["batch_id"],
        "current_status": essay["status"],
        "timeline": essay["timeline"],
        "created_at": essay["created_at"],
        "last_updated": essay["updated_at"],
    }


def batch_status(connection: sqlite3.Connection, batch_id: str) -> Mapping[str, Any]:
    """Return how many essays of a batch stand where.  Raises ``NotFound``."""
    total = len(_registered(connection, batch_id))
    without_text, _, _ = _fate_without_text(connection, batch_id)
    breakdown = dict(
        connection.execute(
            "SELECT status, count(*) FROM essay_of_batch WHERE batch_id = ? GROUP BY status",
            (batch_id,),
        ).fetchall()
    )
    waiting = total - sum(breakdown.values())
    if waiting:
        breakdown[without_text] = breakdown.get(without_text, 0) + waiting
    over = {*TERMINAL, EssayStatus.SPELLCHECK_FAILED}
    done = sum(count for status, count in breakdown.items() if status in over)
    return {
        "batch_id": batch_id,
        "total_essays": total,
        "status_breakdown": breakdown,
        "completion_percentage": round(100.0 * done / total, 1),
        "is_cancelled": is_cancelled(connection, batch_id),
    }


def is_cancelled(connection: sqlite3.Connection, batch_id: str) -> bool:
    """Tell whether a batch is cancelled; one that is not known is not."""
    row = connection.execute(
        "SELECT 1 FROM batch WHERE batch_id = ? AND cancelled_at IS NOT NULL", (batch_id,)
    ).fetchone()
    return row is not None


def batch_essays(connection: sqlite3.Connection, batch_id: str) -> Mapping[str, Any]:
    """Return the texts of a batch, in the order of registration.  Raises ``NotFound``."""
    order = {essay_id: index for index, essay_id in enumerate(_registered(connection, batch_id))}
    rows = connection.execute(
        "SELECT essay_id, text_storage_id, status FROM essay_of_batch WHERE batch_id = ?",
        (batch_id,),
    ).fetchall()
    return {
        "batch_id": batch_id,
        "essays": [
            {
                "essay_id": essay_id,
                "text_storage_id": storage_id,
                "current_status": status,
            }
            for essay_id, storage_id, status in sorted(rows, key=lambda row: order[row[0]])
        ],
    }


_REFERENCES = {
    ContentType.ORIGINAL_ESSAY: "text_storage_id",
    ContentType.CORRECTED_TEXT: "corrected_storage_id",
    ContentType.PROCESSING_LOG: "log_storage_id",
}


def _essay(
    connection: sqlite3.Connection, essay_id: str, batch_id: str | None
) -> Mapping[str, Any]:
    holder = batch_id if batch_id is not None else _only_batch_with(connection, essay_id)
    row = connection.execute(
        "SELECT essay.status, essay.attempt, essay.failure, essay.timeline, essay.updated_at,"
        " essay.text_storage_id, essay.corrected_storage_id, essay.log_storage_id,"
        " batch.registered_at FROM essay JOIN batch USING (batch_number)"
        " WHERE batch.batch_id = ? AND essay.essay_id = ? AND batch.essay_ids IS NOT NULL",
        (holder, essay_id),
    ).fetchone()
    if row is not None:
        status, attempt, failure, timeline, updated_at, text, corrected, log, created_at = row
        return {
            "batch_id": holder,
            "status": status,
            "attempt": attempt,
            "failure": failure,
            "timeline": json.loads(timeline),
            "updated_at": updated_at,
            "created_at": created_at,
            "text_storage_id": text,
            "corrected_storage_id": corrected,
            "log_storage_id": log,
        }
    return _without_text(connection, essay_id, holder)


def _without_text(
    connection: sqlite3.Connection, essay_id: str, batch_id: str
) -> Mapping[str, Any]:
    if essay_id not in _registered(connection, batch_id):
        raise NotFound(f"batch {batch_id!r} has no essay {essay_id!r}")
    (registered_at,) = connection.execute(
        "SELECT registered_at FROM batch WHERE batch_id = ?", (batch_id,)
    ).fetchone()
    status, at, failure = _fate_without_text(connection, batch_id)
    return {
        "batch_id": batch_id,
        "status": status,
        "attempt": 0,
        "failure": failure,
        "timeline": {EssayStatus.UPLOADED.value: registered_at, status: at},
        "updated_at": at,
        "created_at": registered_at,
        **dict.fromkeys(_REFERENCES.values()),
    }


def _fate_without_text(
    connection: sqlite3.Connection, batch_id: str
) -> tuple[str, str, str | None]:
    """Return what a registered essay without a text is, since when, and why it failed."""
    registered_at, closed_at, cancelled_at, reason = connection.execute(
        "SELECT registered_at, closed_at, cancelled_at, cancel_reason FROM batch"
        " WHERE batch_id = ?",
        (batch_id,),
    ).fetchone()
    if closed_at is not None:
        return EssayStatus.CONTENT_INGESTION_FAILED.value, closed_at, WENT_ON_WITHOUT
    if cancelled_at is not None:
        since = max(registered_at, cancelled_at)
        return EssayStatus.ESSAY_CRITICAL_FAILURE.value, since, reason
    return EssayStatus.UPLOADED.value, registered_at, None


def _only_batch_with(connection: sqlite3.Connection, essay_id: str) -> str:
    # Essays without a text are only in the lists of batches that are not ready yet, or closed.
    rows = connection.execute(
        # Each stretch of batches has its own part of the index.
        "WITH RECURSIVE stretch (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM stretch"
        f" WHERE number < (SELECT max(batch_number) / {NUMBERS_TOGETHER} FROM batch))"
        " SELECT batch_id FROM stretch CROSS JOIN essay"
        f" ON batch_number / {NUMBERS_TOGETHER} = stretch.number AND essay_id = ?1"
        " JOIN batch USING (batch_number) WHERE essay_ids IS NOT NULL"
        " UNION SELECT batch_id FROM batch WHERE ready_at IS NULL"
        " AND EXISTS (SELECT 1 FROM json_each(essay_ids) WHERE value = ?2)"
        " UNION SELECT batch_id FROM batch WHERE closed_at IS NOT NULL"
        " AND EXISTS (SELECT 1 FROM json_each(essay_ids) WHERE value = ?2) ORDER BY batch_id",
        (essay_id, essay_id),
    ).fetchall()
    batch_ids = [batch_id for (batch_id,) in rows]
    if not batch_ids:
        raise NotFound(f"no batch has an essay {essay_id!r}")
    if len(batch_ids) > 1:
        # Which ones is not told: they may be other people's.
        raise Conflict(
            f"essay {essay_id!r} is in more than one batch; say which one with ?batch_id="
        )
    return str(batch_ids[0])


def _registered(connection: sqlite3.Connection, batch_id: str) -> Sequence[str]:
    row = connection.execute(
        "SELECT essay_ids FROM batch WHERE batch_id = ? AND essay_ids IS NOT NULL", (batch_id,)
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no batch {batch_id!r}")
    essay_ids: Sequence[str] = json.loads(row[0])
    return essay_ids
