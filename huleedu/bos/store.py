"""The batches in SQLite: the only SQL that changes them."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from huleedu.bos.api_models import BatchRegistrationRequestV1
from huleedu.bos.model import Batch, ResultsCounted
from huleedu.bos.repository import BatchContext, FirstResult
from huleedu.bos.rows import BATCH_COLUMNS, batch_of, changing
from huleedu.core.clock import from_text, moment_of, to_text

_encode = msgspec.json.Encoder().encode
_essay_ids = msgspec.json.Decoder(list[str])


class SqliteBatchRepository:
    """The batches as the transaction of ``connection`` sees them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def store_batch_context(
        self, batch: Batch, registration: BatchRegistrationRequestV1, registered_at: datetime
    ) -> None:
        """Keep a new batch."""
        row = {
            "batch_id": batch.batch_id,
            "correlation_id": str(batch.correlation_id),
            "registered_at": to_text(registered_at),
            "status": batch.status.value,
            "language": batch.language.value,
            "attempt": batch.attempt,
            "successful": batch.successful,
            "failed": batch.failed,
            "pipelines": _encode(batch.pipelines),
            "progressed_at": to_text(batch.pipelines.last_updated),
            "essay_count": batch.essay_count,
            "course_code": registration.course_code,
            "class_designation": registration.class_designation,
            "readiness_timeout_seconds": registration.readiness_timeout_seconds,
            "essay_instructions": registration.essay_instructions,
            "essay_ids": _encode(registration.essay_ids),
        }
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        self._connection.execute(f"INSERT INTO batch ({names}) VALUES ({values})", row)

    def get_batch_context(self, batch_id: str) -> BatchContext | None:
        """Return what the batch was registered with."""
        row = self._connection.execute(
            "SELECT correlation_id, registered_at, readiness_timed_out_at, essay_ids, course_code,"
            " class_designation, essay_instructions, readiness_timeout_seconds"
            " FROM batch WHERE batch_id = ?",
            (batch_id,),
        ).fetchone()
        if row is None:
            return None
        correlation_id, registered_at, timed_out_at, ids, course, designation, told, timeout = row
        essay_ids = _essay_ids.decode(ids)
        registration = BatchRegistrationRequestV1(
            expected_essay_count=len(essay_ids),
            essay_ids=essay_ids,
            course_code=course,
            class_designation=designation,
            essay_instructions=told,
            readiness_timeout_seconds=timeout,
        )
        return BatchContext(
            batch_id=batch_id,
            correlation_id=UUID(correlation_id),
            registered_at=from_text(registered_at),
            registration=registration,
            readiness_timed_out_at=moment_of(timed_out_at),
        )

    def save_processing_pipeline_state(self, batches: Iterable[Batch]) -> None:
        """Keep what was decided about these batches."""
        rows = [changing(batch) for batch in batches]
        if rows:
            changes = ", ".join(f"{name} = :{name}" for name in rows[0])
            self._connection.executemany(
                f"UPDATE batch SET {changes} WHERE batch_id = :batch_id", rows
            )

    def load_batches(self, batch_ids: Iterable[str]) -> Mapping[str, Batch]:
        """Return those of these batches that exist, by id."""
        rows = self._connection.execute(
            f"SELECT {', '.join(BATCH_COLUMNS)}"
            " FROM batch WHERE batch_id IN (SELECT value FROM json_each(?))",
            (_encode(list(batch_ids)),),
        )
        return {row[0]: batch_of(dict(zip(BATCH_COLUMNS, row, strict=True))) for row in rows}

    def load_essay_ids(self, batch_ids: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """Return the registered essay ids of these batches, by batch id."""
        rows = self._connection.execute(
            "SELECT batch_id, essay_ids FROM batch"
            " WHERE batch_id IN (SELECT value FROM json_each(?))",
            (_encode(list(batch_ids)),),
        )
        return {batch_id: frozenset(_essay_ids.decode(ids)) for batch_id, ids in rows}

    def count_first_results(self, results: Sequence[FirstResult]) -> Mapping[str, ResultsCounted]:
        """Keep each essay's first result of an attempt; return how many were new."""
        new = self._connection.execute(
            "INSERT OR IGNORE INTO first_result (batch_id, attempt, essay_id, is_success)"
            " SELECT value ->> 'batch_id', value ->> 'attempt', value ->> 'essay_id',"
            "  value ->> 'is_success' FROM json_each(?) WHERE true"
            " RETURNING batch_id, is_success",
            (_encode(results),),
        )
        counted: dict[str, ResultsCounted] = {}
        for batch_id, is_success in new:
            so_far = counted.get(batch_id, ResultsCounted(0, 0))
            counted[batch_id] = ResultsCounted(
                so_far.successful + is_success, so_far.failed + (not is_success)
            )
        return counted
