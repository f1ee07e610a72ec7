"""The tables of ELS.

``batch`` has one row a batch, also for one whose texts came before its registration.  ``essay``
has one row for each text that was kept; a registered essay without a text is only in
``batch.essay_ids``, so that a registration costs one row.  What such an essay is follows from its
batch: failed where the batch was closed or cancelled, else uploaded at best.

Inside of the store a batch goes by a number, in the order in which batches were first heard of;
the view ``essay_of_batch`` shows the essays with the ids of their batches.
"""

import sqlite3

import msgspec
from sqlite_utils import Database as SchemaDatabase

from huleedu.store.handled import handled_migrations
from huleedu.store.migrations import Migrations
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import outbox_identity_migrations
from huleedu.store.positions import position_migrations

els_migrations = Migrations("els")

NUMBERS_TOGETHER = 256
"""Of how many batches the essays stand together in the order of their ids.  The index has it in
its expression: another number takes a migration."""

MIGRATIONS = (
    els_migrations,
    outbox_migrations,
    handled_migrations,
    position_migrations,
    outbox_identity_migrations,
)


@els_migrations()
def create_batch_and_essay(database: SchemaDatabase) -> None:
    """Readiness, essay state and the spell-check phase."""
    database.conn.execute("""
        CREATE TABLE batch (
            batch_id TEXT PRIMARY KEY,
            correlation_id TEXT,
            essay_ids TEXT,           -- JSON array in the order of registration; NULL until then
            filled INTEGER NOT NULL DEFAULT 0,
            registered_at TEXT,
            ready_at TEXT,
            attempt INTEGER NOT NULL DEFAULT 0,
            language TEXT,
            pending INTEGER NOT NULL DEFAULT 0,  -- essays of this attempt without a result
            concluded_at TEXT
        ) STRICT, WITHOUT ROWID""")
    database.conn.execute("CREATE INDEX batch_open ON batch (batch_id) WHERE ready_at IS NULL")
    database.conn.execute("""
        CREATE TABLE essay (
            batch_id TEXT NOT NULL,
            essay_id TEXT NOT NULL,
            status TEXT NOT NULL,
            attempt INTEGER NOT NULL DEFAULT 0,
            text_storage_id TEXT NOT NULL,
            corrected_storage_id TEXT,
            log_storage_id TEXT,
            student_name TEXT,
            student_email TEXT,
            file_name TEXT,
            timeline TEXT NOT NULL,   -- JSON object: status → when it was reached
            updated_at TEXT NOT NULL,
            PRIMARY KEY (batch_id, essay_id)
        ) STRICT, WITHOUT ROWID""")
    database.conn.execute("CREATE INDEX essay_by_id ON essay (essay_id)")


@els_migrations()
def keep_essays_by_row(database: SchemaDatabase) -> None:
    """Give essays a rowid: a wide row is written once, and its two indexes name it by a number.

    Writing a text took 12 µs of CPU time with ``WITHOUT ROWID`` and takes 9 µs so.
    """
    (declared,) = database.conn.execute(
        "SELECT sql FROM sqlite_schema WHERE name = 'essay'"
    ).fetchone()
    database.conn.execute("ALTER TABLE essay RENAME TO essay_before")
    database.conn.execute("DROP INDEX essay_by_id")
    database.conn.execute(declared.replace("STRICT, WITHOUT ROWID", "STRICT"))
    database.conn.execute("INSERT INTO essay SELECT * FROM essay_before")
    database.conn.execute("DROP TABLE essay_before")
    database.conn.execute("CREATE INDEX essay_by_id ON essay (essay_id)")


@els_migrations()
def add_deadlines_and_wishes(database: SchemaDatabase) -> None:
    """Until when a batch waits, what it was told to do, and when its phase last moved on."""
    for column in (
        "deadline_at",  # when it is told that essays are missing; NULL: not any more
        "deadline_from",  # when an extension set it; NULL: it counts from the registration
        "timed_out",  # the latest deadline of which that was told
        "closed_at",  # when it became ready without all of its essays
        "proceed_at",  # when it was told to proceed, before it was registered
        "cancelled_at",
        "cancel_reason",
        "dispatched_at",  # when the newest attempt was dispatched
        "progressed_at",  # when anything of its phase was last heard
    ):
        database.conn.execute(f"ALTER TABLE batch ADD COLUMN {column} TEXT")
    database.conn.execute("ALTER TABLE essay ADD COLUMN failure TEXT")
    # A row leaves this index when its deadline passes, not when the batch becomes ready: that
    # would cost every text of every batch.
    database.conn.execute(
        "CREATE INDEX batch_deadline ON batch (deadline_at)"
        " WHERE deadline_at IS NOT NULL AND registered_at IS NOT NULL"
    )
    database.conn.execute(
        "CREATE INDEX batch_in_phase ON batch (dispatched_at)"
        " WHERE dispatched_at IS NOT NULL AND concluded_at IS NULL"
    )
    database.conn.execute(
        "CREATE INDEX batch_progress ON batch (progressed_at, dispatched_at)"
        " WHERE progressed_at IS NOT NULL"
    )
    database.conn.execute(
        "CREATE INDEX batch_closed ON batch (batch_id) WHERE closed_at IS NOT NULL"
    )
    # Phases that are under way in an older store; they count from the start of this program.
    database.conn.execute(
        "UPDATE batch SET dispatched_at = ready_at WHERE attempt > 0 AND concluded_at IS NULL"
    )


@els_migrations()
def create_listening(database: SchemaDatabase) -> None:
    """Until when somebody heard what checkers answer; while nobody does, no phase stands still."""
    database.conn.execute("""
        CREATE TABLE listening (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            until TEXT NOT NULL
        ) STRICT""")


@els_migrations()
def keep_batches_by_row(database: SchemaDatabase) -> None:
    """Give batches a rowid, in the order of their registration, and order the open ones by it.

    Texts name batches that are registered together, wherever their ids would put them: the counts
    of several are on one page.  Taking a text so writes a sixth less, and costs the store a tenth
    less CPU.
    """
    (declared,) = database.conn.execute(
        "SELECT sql FROM sqlite_schema WHERE name = 'batch'"
    ).fetchone()
    indexes = database.conn.execute(
        "SELECT sql FROM sqlite_schema WHERE tbl_name = 'batch' AND type = 'index'"
        " AND sql IS NOT NULL AND name != 'batch_open'"
    ).fetchall()
    by_row = declared.replace("STRICT, WITHOUT ROWID", "STRICT")
    database.conn.execute("ALTER TABLE batch RENAME TO batch_before")
    database.conn.execute(by_row.replace("TEXT PRIMARY KEY", "TEXT NOT NULL PRIMARY KEY"))
    database.conn.execute("INSERT INTO batch SELECT * FROM batch_before ORDER BY registered_at")
    database.conn.execute("DROP TABLE batch_before")
    for (index,) in indexes:
        database.conn.execute(index)
    database.conn.execute("CREATE INDEX batch_open ON batch (registered_at) WHERE ready_at IS NULL")


@els_migrations()
def number_batches(database: SchemaDatabase) -> None:
    """Name the batch of an essay by a number, and find an essay's id among batches of one age.

    Ids of essays and batches are random as a rule: an index over all of them is written to in as
    many places as texts are taken, and most of what was written were pages of it.  Texts come for
    batches that are registered together, so ordered by their numbers they meet on few pages.
    Over 10,000 batches of the readiness workload less than half of the bytes are written for a
    text (2,411 → 1,103, both with what the checkpoints write), with a tenth less CPU time.
    """
    tables = ("batch", "essay")
    before = dict(
        database.conn.execute(
            "SELECT name, sql FROM sqlite_schema WHERE tbl_name IN ('batch', 'essay')"
            " AND sql IS NOT NULL AND name != 'essay_by_id'"
        ).fetchall()
    )
    columns = {
        table: [row[1] for row in database.conn.execute(f"PRAGMA table_info({table})")]
        for table in tables
    }
    for table in tables:
        database.conn.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
    database.conn.execute(
        before.pop("batch").replace(
            "batch_id TEXT NOT NULL PRIMARY KEY",
            "batch_number INTEGER PRIMARY KEY, batch_id TEXT NOT NULL UNIQUE",
        )
    )
    database.conn.execute(
        before.pop("essay")
        .replace("batch_id TEXT NOT NULL", "batch_number INTEGER NOT NULL")
        .replace("PRIMARY KEY (batch_id, essay_id)", "PRIMARY KEY (batch_number, essay_id)")
    )
    named = ", ".join(columns["batch"])
    database.conn.execute(
        f"INSERT INTO batch ({named}) SELECT {named} FROM batch_before ORDER BY rowid"
    )
    named = ", ".join(column for column in columns["essay"] if column != "batch_id")
    database.conn.execute(
        f"INSERT INTO essay (batch_number, {named})"
        " SELECT (SELECT batch_number FROM batch WHERE batch.batch_id = essay_before.batch_id),"
        f" {named} FROM essay_before ORDER BY 1"
    )
    for table in tables:
        database.conn.execute(f"DROP TABLE {table}_before")
    for index in before.values():
        database.conn.execute(index)
    database.conn.execute(
        f"CREATE INDEX essay_by_id ON essay (batch_number / {NUMBERS_TOGETHER}, essay_id)"
    )
    database.conn.execute(
        "CREATE VIEW essay_of_batch AS SELECT batch_id, essay.* FROM batch JOIN essay"
        " USING (batch_number)"
    )


@els_migrations()
def index_what_was_set_by_a_clock(database: SchemaDatabase) -> None:
    """Find at once what a clock that was wrong has set ahead; few batches have either time."""
    for column in ("deadline_from", "timed_out"):
        database.conn.execute(
            f"CREATE INDEX batch_{column} ON batch ({column}) WHERE {column} IS NOT NULL"
        )


@els_migrations()
def add_answered_attempt(database: SchemaDatabase) -> None:
    """The latest attempt of an essay of which an answer was heard, whatever followed from it."""
    database.conn.execute(
        "ALTER TABLE essay ADD COLUMN answered_attempt INTEGER NOT NULL DEFAULT 0"
    )


def json_list(values: object) -> str:
    """Return a JSON array to be bound to a ``json_each(?)``."""
    return msgspec.json.encode(values).decode()


def correlation_ids(connection: sqlite3.Connection, batch_ids: list[str]) -> dict[str, str | None]:
    """Return each batch's correlation id, where it is known."""
    return dict(
        connection.execute(
            "SELECT batch_id, correlation_id FROM batch"
            " WHERE batch_id IN (SELECT value FROM json_each(?))",
            (json_list(batch_ids),),
        )
    )
