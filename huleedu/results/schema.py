"""The tables of results: facts as they were heard, and the stream of what was heard.

A fact is written so that neither order nor repetition matters: the first of its kind stays, or
the highest attempt, or the latest moment of saying.  What a batch or an essay *is* is not stored:
``decide`` folds it out of the facts.
"""

from sqlite_utils import Database as SchemaDatabase

from huleedu.store.handled import handled_migrations
from huleedu.store.migrations import Migrations
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import outbox_identity_migrations
from huleedu.store.positions import position_migrations

results_migrations = Migrations("results")

MIGRATIONS = (
    results_migrations,
    outbox_migrations,
    handled_migrations,
    position_migrations,
    outbox_identity_migrations,
)


@results_migrations()
def create_batch_and_essay(database: SchemaDatabase) -> None:
    """What was said about batches and their essays; times as ``clock.to_text``."""
    database.conn.execute("""
        CREATE TABLE batch (
            batch_id TEXT PRIMARY KEY,
            updated_at TEXT NOT NULL,      -- when the latest event about it was said
            registered_at TEXT,            -- NULL: what is known of it came early
            expected_count INTEGER,
            correlation_id TEXT,           -- the registration's
            deadline TEXT,                 -- of the latest extension
            deadline_said_at TEXT,
            timed_out_at TEXT,             -- the latest timeout
            proceeded_at TEXT,
            ready_at TEXT,
            ready_count INTEGER,
            cancelled_at TEXT,
            cancel_reason TEXT,
            outcome_attempt INTEGER NOT NULL DEFAULT 0,
            outcome_status TEXT,
            outcome_at TEXT
        ) STRICT, WITHOUT ROWID""")
    database.conn.execute("""
        CREATE TABLE essay (
            batch_id TEXT NOT NULL,
            essay_id TEXT NOT NULL,
            position INTEGER,              -- in the registration; NULL: not registered (yet)
            is_ready INTEGER NOT NULL DEFAULT 0,   -- named by BatchEssaysReady
            ready_storage_id TEXT,
            requested_attempt INTEGER NOT NULL DEFAULT 0,
            requested_at TEXT,
            requested_storage_id TEXT,
            outcome_attempt INTEGER NOT NULL DEFAULT 0,
            outcome_is_success INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (batch_id, essay_id)
        ) STRICT, WITHOUT ROWID""")


@results_migrations()
def create_text_and_result(database: SchemaDatabase) -> None:
    """What was said about texts and checks."""
    database.conn.execute("""
        CREATE TABLE essay_text (
            batch_id TEXT NOT NULL,
            essay_id TEXT NOT NULL,
            storage_id TEXT NOT NULL,
            said_at TEXT NOT NULL DEFAULT '',      -- '' : only its refusal was heard
            event_id TEXT NOT NULL DEFAULT '',
            student_name TEXT,
            file_name TEXT,
            refused_because TEXT,
            PRIMARY KEY (batch_id, essay_id, storage_id)
        ) STRICT, WITHOUT ROWID""")
    # attempt 0: its sender named none.  A failure and a success of one attempt are both kept:
    # the outcome tells which of them counted.
    database.conn.execute("""
        CREATE TABLE essay_result (
            batch_id TEXT NOT NULL,
            essay_id TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            is_success INTEGER NOT NULL,
            said_at TEXT NOT NULL,
            event_id TEXT NOT NULL,
            original_storage_id TEXT NOT NULL,
            corrected_storage_id TEXT,
            log_storage_id TEXT,
            corrections_made INTEGER,
            error_code TEXT,
            error_message TEXT,
            PRIMARY KEY (batch_id, essay_id, attempt, is_success)
        ) STRICT, WITHOUT ROWID""")


@results_migrations()
def create_progress_event(database: SchemaDatabase) -> None:
    """One row for each effect, in the order in which they were heard; never changed but for a
    count of other events that claimed the same effect.
    """
    # AUTOINCREMENT: an id is never used again, so that a reader can go on from the last it saw.
    database.conn.execute("""
        CREATE TABLE progress_event (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            batch_id TEXT NOT NULL,
            event_type TEXT NOT NULL,
            attempt INTEGER NOT NULL,          -- 0: none is named, or events of its kind have none
            essay_id TEXT NOT NULL,            -- '' : about the batch
            discriminator TEXT NOT NULL,       -- what else tells two effects of a kind apart
            event_id TEXT NOT NULL,
            other_events INTEGER NOT NULL DEFAULT 0,
            heard_at TEXT NOT NULL,
            data TEXT NOT NULL,                -- JSON object
            UNIQUE (batch_id, event_type, attempt, essay_id, discriminator)
        ) STRICT""")
    database.conn.execute("CREATE INDEX progress_event_by_batch ON progress_event (batch_id, id)")


@results_migrations()
def add_cancelled_by(database: SchemaDatabase) -> None:
    """Who cancelled a batch."""
    database.conn.execute("ALTER TABLE batch ADD COLUMN cancelled_by TEXT")


@results_migrations()
def index_progress_by_age(database: SchemaDatabase) -> None:
    """Find what is old at once, wherever rows stand that a wrong clock dated."""
    database.conn.execute("CREATE INDEX progress_event_by_age ON progress_event (heard_at)")
