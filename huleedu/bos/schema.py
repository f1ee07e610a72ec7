"""The tables of BOS; ``answers`` has one of its own."""

import msgspec
from sqlite_utils import Database as SchemaDatabase

from huleedu.bos.rows import pipeline_moments
from huleedu.core.pipeline_state import ProcessingPipelineState
from huleedu.store.migrations import Migrations

batch_migrations = Migrations("batch")
_pipelines = msgspec.json.Decoder(ProcessingPipelineState)


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


@batch_migrations()
def add_actions(database: SchemaDatabase) -> None:
    """What teachers wished, what is missing, and since when nothing was heard."""
    for column in (
        "deadline TEXT",  # that a teacher set last
        "extended_at TEXT",
        "extensions INTEGER NOT NULL DEFAULT 0",
        "proceed_requested_at TEXT",
        "missing_essay_ids BLOB",  # at the last deadline that passed; JSON
        "cancelled_at TEXT",
        "cancelled_by TEXT",
        "cancel_reason TEXT",
        "dispatched_at TEXT",  # when the current attempt was commanded
        "progressed_at TEXT",  # when its pipelines last changed
    ):
        database.conn.execute(f"ALTER TABLE batch ADD COLUMN {column}")
    rows = database.conn.execute("SELECT batch_id, pipelines FROM batch").fetchall()
    moments = [(*pipeline_moments(_pipelines.decode(row[1])), row[0]) for row in rows]
    database.conn.executemany(
        "UPDATE batch SET dispatched_at = ?, progressed_at = ? WHERE batch_id = ?", moments
    )
    database.conn.execute("CREATE INDEX batch_by_progress ON batch (progressed_at, dispatched_at)")


@batch_migrations()
def create_attempt(database: SchemaDatabase) -> None:
    """One row for each attempt: which essays it is about, and which of the batch's failed."""
    database.conn.execute("""
        CREATE TABLE attempt (
            batch_id TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            essays BLOB,               -- JSON: of the first attempt all that are ready
            failed_essay_ids BLOB,     -- JSON; NULL until its outcome
            PRIMARY KEY (batch_id, attempt)
        ) STRICT, WITHOUT ROWID""")
