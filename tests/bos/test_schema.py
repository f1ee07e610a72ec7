"""A store that an earlier version wrote is brought forward."""

import sqlite3
from contextlib import closing

from sqlite_utils import Database

from huleedu.bos import MIGRATIONS
from huleedu.bos.schema import batch_migrations
from huleedu.bos.stalls import timing_at
from huleedu.bos.store import SqliteBatchRepository
from huleedu.bos.views import find_batch
from huleedu.core.enums import BatchStatus
from huleedu.core.settings import Settings
from huleedu.store.migrations import migrate
from tests.support.builders import AT

PIPELINES = (
    b'{"batch_id":"old","last_updated":"2026-01-12T08:05:00Z","requested_pipelines":["spellcheck"],'
    b'"spellcheck":{"status":"in_progress","started_at":"2026-01-12T08:00:00Z","essay_counts":'
    b'{"total":1,"pending_dispatch_or_processing":1,"successful":0,"failed":0}}}'
)


def test_a_batch_from_before_there_were_actions_goes_on() -> None:
    """Nothing was wished of it, and since when its check is silent is known from its pipelines."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        batch_migrations.apply(Database(connection), stop_before="add_actions")
        connection.execute(
            "INSERT INTO batch (batch_id, correlation_id, registered_at, status, language, attempt,"
            " successful, failed, pipelines, essay_count, course_code, class_designation,"
            " essay_instructions, essay_ids) VALUES ('old', ?, '2026-01-12T08:00:00.000000Z',"
            " 'processing_pipelines', 'sv', 1, 0, 0, ?, 1, 'SV1', '9A', 'Skriv.', ?)",
            ("c0ffee00-0000-4000-8000-000000000001", PIPELINES, b'["a"]'),
        )

        migrate(connection, "bos", MIGRATIONS)

        batch = SqliteBatchRepository(connection).load_batches(["old"])["old"]
        assert batch.status is BatchStatus.PROCESSING_PIPELINES
        assert (batch.extensions, batch.deadline, batch.cancellation) == (0, None, None)
        moments = connection.execute("SELECT dispatched_at, progressed_at FROM batch").fetchone()
        assert moments == ("2026-01-12T08:00:00.000000Z", "2026-01-12T08:05:00.000000Z")
        view = find_batch(connection, "old", timing_at(AT, Settings()))
        assert view is not None
        assert view.readiness.missing_count is None
