"""Writing facts: every statement gives the same rows whatever the order and the repetition.

Each function takes the messages of one event out of a fetch and writes them with one
``executemany`` a table.  Times are texts of ``clock.to_text``, which sort as they follow.
"""

import sqlite3
from collections.abc import Sequence

from huleedu.core.clock import to_text
from huleedu.core.enums import ContentType, EssayStatus
from huleedu.core.messages import (
    BatchCancelled,
    BatchEssaysReady,
    BatchEssaysRegistered,
    BatchProceedRequested,
    BatchReadinessExtended,
    BatchReadinessTimeout,
    ELSBatchPhaseOutcomeV1,
    EssayContentReady,
    EssayContentRefused,
    EssayLifecycleSpellcheckRequestV1,
    SpellcheckResultDataV1,
)
from huleedu.transport.consumer import Heard


def said_at(heard: Heard) -> str:
    """Return when the event was said, by its sender's clock."""
    return to_text(heard.envelope.event_timestamp)


def touched(connection: sqlite3.Connection, heard: Sequence[Heard]) -> None:
    """Note the batches, each with when the latest event about it was said."""
    latest: dict[str, str] = {}
    for one in heard:
        latest[one.batch_id] = max(latest.get(one.batch_id, ""), said_at(one))
    connection.executemany(
        "INSERT INTO batch (batch_id, updated_at) VALUES (?, ?) ON CONFLICT (batch_id)"
        " DO UPDATE SET updated_at = max(updated_at, excluded.updated_at)",
        list(latest.items()),
    )


def registered(
    connection: sqlite3.Connection, heard: Sequence[Heard[BatchEssaysRegistered]]
) -> None:
    """Note the essays of a batch in their order; a second registration changes nothing."""
    for one in heard:
        data = one.data
        correlation_id = one.envelope.correlation_id
        updated = connection.execute(
            "UPDATE batch SET registered_at = ?, expected_count = ?, correlation_id = ?"
            " WHERE batch_id = ? AND registered_at IS NULL",
            (
                said_at(one),
                len(data.essay_ids),
                None if correlation_id is None else str(correlation_id),
                data.batch_id,
            ),
        )
        if updated.rowcount:
            connection.executemany(
                "INSERT INTO essay (batch_id, essay_id, position) VALUES (?, ?, ?)"
                " ON CONFLICT (batch_id, essay_id) DO UPDATE SET position = excluded.position",
                [(data.batch_id, essay_id, n) for n, essay_id in enumerate(data.essay_ids)],
            )


def content_ready(
    connection: sqlite3.Connection, heard: Sequence[Heard[EssayContentReady]]
) -> None:
    """Note the texts of essays, each with what its latest announcement says of its author."""
    rows = []
    for one in heard:
        data = one.data
        rows.append(
            (
                data.batch_id,
                data.essay_id,
                data.text_storage_id,
                said_at(one),
                one.message.event_id,
                data.student_name,
                data.file_name,
            )
        )
    connection.executemany(
        "INSERT INTO essay_text"
        " (batch_id, essay_id, storage_id, said_at, event_id, student_name, file_name)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET said_at = excluded.said_at,"
        " event_id = excluded.event_id, student_name = excluded.student_name,"
        " file_name = excluded.file_name"
        " WHERE (excluded.said_at, excluded.event_id) > (said_at, event_id)",
        rows,
    )


def content_refused(
    connection: sqlite3.Connection, heard: Sequence[Heard[EssayContentRefused]]
) -> None:
    """Note the texts that a batch did not take; of several reasons the first by name stays."""
    rows = []
    for one in heard:
        data = one.data
        rows.append((data.batch_id, data.essay_id, data.storage_id, data.reason.value))
    connection.executemany(
        "INSERT INTO essay_text (batch_id, essay_id, storage_id, refused_because)"
        " VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET refused_because ="
        " min(coalesce(refused_because, excluded.refused_because), excluded.refused_because)",
        rows,
    )


def batch_ready(connection: sqlite3.Connection, heard: Sequence[Heard[BatchEssaysReady]]) -> None:
    """Note which essays a batch goes on with; it is ready once, a repeat changes nothing."""
    for one in heard:
        data = one.data
        updated = connection.execute(
            "UPDATE batch SET ready_at = ?, ready_count = ?"
            " WHERE batch_id = ? AND ready_at IS NULL",
            (said_at(one), len(data.ready_essay_ids), data.batch_id),
        )
        if updated.rowcount:
            texts = {text.essay_id: text.text_storage_id for text in data.ready_essays or ()}
            connection.executemany(
                "INSERT INTO essay (batch_id, essay_id, is_ready, ready_storage_id)"
                " VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE SET is_ready = 1,"
                " ready_storage_id = excluded.ready_storage_id",
                [
                    (data.batch_id, essay_id, texts.get(essay_id))
                    for essay_id in data.ready_essay_ids
                ],
            )


def timed_out(
    connection: sqlite3.Connection, heard: Sequence[Heard[BatchReadinessTimeout]]
) -> None:
    """Note the latest deadline that passed with essays missing."""
    connection.executemany(
        "UPDATE batch SET timed_out_at = max(coalesce(timed_out_at, ''), ?) WHERE batch_id = ?",
        [(said_at(one), one.batch_id) for one in heard],
    )


def extended(
    connection: sqlite3.Connection, heard: Sequence[Heard[BatchReadinessExtended]]
) -> None:
    """Note the deadline of the latest extension."""
    rows = []
    for one in heard:
        data = one.data
        rows.append((to_text(data.deadline), said_at(one), data.batch_id))
    connection.executemany(
        "UPDATE batch SET deadline = ?1, deadline_said_at = ?2 WHERE batch_id = ?3"
        " AND (deadline IS NULL OR (?2, ?1) > (deadline_said_at, deadline))",
        rows,
    )


def proceeded(
    connection: sqlite3.Connection, heard: Sequence[Heard[BatchProceedRequested]]
) -> None:
    """Note when a batch was first told to go on with what is there."""
    connection.executemany(
        "UPDATE batch SET proceeded_at = min(coalesce(proceeded_at, ?1), ?1) WHERE batch_id = ?2",
        [(said_at(one), one.batch_id) for one in heard],
    )


def cancelled(connection: sqlite3.Connection, heard: Sequence[Heard[BatchCancelled]]) -> None:
    """Note when a batch was first cancelled, by whom, and the reason given then."""
    rows = []
    for one in heard:
        data = one.data
        at = to_text(data.cancellation_time)
        rows.append((at, data.reason, data.cancelled_by, data.batch_id))
    connection.executemany(
        "UPDATE batch SET cancelled_at = ?1, cancel_reason = ?2, cancelled_by = ?3"
        " WHERE batch_id = ?4 AND (cancelled_at IS NULL"
        " OR (?1, coalesce(?2, ''), coalesce(?3, ''))"
        " < (cancelled_at, coalesce(cancel_reason, ''), coalesce(cancelled_by, '')))",
        rows,
    )


def spellcheck_requested(
    connection: sqlite3.Connection, heard: Sequence[Heard[EssayLifecycleSpellcheckRequestV1]]
) -> None:
    """Note the newest attempt in which an essay's check was asked for."""
    rows = []
    for one in heard:
        data = one.data
        attempt = one.attempt or 1
        rows.append((one.batch_id, data.essay_id, attempt, said_at(one), data.text_storage_id))
    connection.executemany(
        "INSERT INTO essay"
        " (batch_id, essay_id, requested_attempt, requested_at, requested_storage_id)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " requested_attempt = excluded.requested_attempt, requested_at = excluded.requested_at,"
        " requested_storage_id = excluded.requested_storage_id"
        " WHERE excluded.requested_attempt > requested_attempt",
        rows,
    )


def result_received(
    connection: sqlite3.Connection, heard: Sequence[Heard[SpellcheckResultDataV1]]
) -> None:
    """Note the first answer of each attempt; of those that name none, the latest."""
    connection.executemany(
        "INSERT INTO essay_result VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET said_at = excluded.said_at, event_id = excluded.event_id,"
        " original_storage_id = excluded.original_storage_id,"
        " corrected_storage_id = excluded.corrected_storage_id,"
        " log_storage_id = excluded.log_storage_id, corrections_made = excluded.corrections_made,"
        " error_code = excluded.error_code, error_message = excluded.error_message"
        " WHERE CASE attempt WHEN 0"
        " THEN (excluded.said_at, excluded.event_id) > (said_at, event_id)"
        " ELSE (excluded.said_at, excluded.event_id) < (said_at, event_id) END",
        [_result_row(one) for one in heard],
    )


def _result_row(one: Heard[SpellcheckResultDataV1]) -> tuple[object, ...]:
    data = one.data
    error = data.system_metadata.error_info
    return (
        one.batch_id,
        data.essay_id,
        one.attempt or 0,
        int(data.status is EssayStatus.SPELLCHECKED_SUCCESS),
        said_at(one),
        one.message.event_id,
        data.original_text_storage_id,
        data.storage_id(ContentType.CORRECTED_TEXT),
        data.storage_id(ContentType.PROCESSING_LOG),
        data.corrections_made,
        _text(error.get("code")),
        _text(error.get("message")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def phase_concluded(
    connection: sqlite3.Connection, heard: Sequence[Heard[ELSBatchPhaseOutcomeV1]]
) -> None:
    """Note the outcome of the newest attempt, for the batch and for each of its essays."""
    batches, essays = [], []
    for one in heard:
        data = one.data
        attempt = one.attempt or 1
        batches.append((attempt, data.phase_status.value, said_at(one), data.batch_id))
        essays += [(data.batch_id, e.essay_id, attempt, 1) for e in data.processed_essays]
        essays += [(data.batch_id, essay_id, attempt, 0) for essay_id in data.failed_essay_ids]
    connection.executemany(
        "UPDATE batch SET outcome_attempt = ?1, outcome_status = ?2, outcome_at = ?3"
        " WHERE batch_id = ?4 AND outcome_attempt < ?1",
        batches,
    )
    connection.executemany(
        "INSERT INTO essay (batch_id, essay_id, outcome_attempt, outcome_is_success)"
        " VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " outcome_attempt = excluded.outcome_attempt,"
        " outcome_is_success = excluded.outcome_is_success"
        " WHERE excluded.outcome_attempt > outcome_attempt",
        essays,
    )
