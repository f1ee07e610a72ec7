"""The batches in SQLite: the schema, and the only SQL that changes it."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlite_utils import Database as SchemaDatabase

from huleedu.bos.api_models import BatchRegistrationRequestV1
from huleedu.bos.model import Batch, ResultsCounted
from huleedu.bos.repository import BatchContext, FirstResult
from huleedu.core.clock import from_text, to_text
from huleedu.core.enums import BatchStatus, Language
from huleedu.core.pipeline_state import ProcessingPipelineState
from huleedu.store.migrations import Migrations

batch_migrations = Migrations("batch")

_encode = msgspec.json.Encoder().encode
_pipelines = msgspec.json.Decoder(ProcessingPipelineState)
_essay_ids = msgspec.json.Decoder(list[str])


@batch_migrations()
def create_batch(database: SchemaDatabase) -> None:
    """One row a batch, in the order of registration; what may be long stands last."""
    database.conn.execute("""
        CREATE TABLE batch (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            batch_id TEXT NOT NULL UNIQUE,
            correlation_id TEXT NOT NULL,
            registered_at TEXT NOT NULL,
            status TEXT NOT NULL,
            language TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            successful INTEGER NOT NULL,
            failed INTEGER NOT NULL,
            readiness_timed_out_at TEXT,
            pipelines BLOB NOT NULL,
            essay_count INTEGER NOT NULL,
            course_code TEXT NOT NULL,
            class_designation TEXT NOT NULL,
            readiness_timeout_seconds REAL,
            essay_instructions TEXT NOT NULL,
            essay_ids BLOB NOT NULL
        ) STRICT""")
    database.conn.execute("CREATE INDEX batch_by_status ON batch (status, position)")


@batch_migrations()
def create_first_result(database: SchemaDatabase) -> None:
    """One row for each essay that has a result in an attempt, so that none counts twice."""
    database.conn.execute("""
        CREATE TABLE first_result (
            batch_id TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            essay_id TEXT NOT NULL,
            is_success INTEGER NOT NULL,
            PRIMARY KEY (batch_id, attempt, essay_id)
        ) STRICT, WITHOUT ROWID""")


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
            readiness_timed_out_at=_moment(timed_out_at),
        )

    def save_processing_pipeline_state(self, batches: Iterable[Batch]) -> None:
        """Keep what was decided about these batches."""
        self._connection.executemany(
            "UPDATE batch SET status = ?, attempt = ?, successful = ?, failed = ?,"
            " readiness_timed_out_at = ?, pipelines = ? WHERE batch_id = ?",
            [
                (
                    batch.status.value,
                    batch.attempt,
                    batch.successful,
                    batch.failed,
                    _text(batch.readiness_timed_out_at),
                    _encode(batch.pipelines),
                    batch.batch_id,
                )
                for batch in batches
            ],
        )

    def load_batches(self, batch_ids: Iterable[str]) -> Mapping[str, Batch]:
        """Return those of these batches that exist, by id."""
        rows = self._connection.execute(
            "SELECT batch_id, correlation_id, status, language, attempt, successful, failed,"
            " readiness_timed_out_at, pipelines, essay_count"
            " FROM batch WHERE batch_id IN (SELECT value FROM json_each(?))",
            (_encode(list(batch_ids)),),
        )
        return {row[0]: _batch(row) for row in rows}

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


def _batch(row: tuple[str, str, str, str, int, int, int, str | None, bytes, int]) -> Batch:
    batch_id, correlation_id, status, language, attempt, good, bad, timed_out_at, pipelines, n = row
    return Batch(
        batch_id=batch_id,
        correlation_id=UUID(correlation_id),
        language=Language(language),
        essay_count=n,
        status=BatchStatus(status),
        attempt=attempt,
        successful=good,
        failed=bad,
        readiness_timed_out_at=_moment(timed_out_at),
        pipelines=_pipelines.decode(pipelines),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else from_text(text)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else to_text(moment)
