"""A store that an older program wrote opens, and nothing in it waits for ever."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from huleedu.core.clock import to_text
from huleedu.els.deadlines import Deadlines
from huleedu.els.handlers import EssayLifecycle
from huleedu.els.store import MIGRATIONS, els_migrations
from huleedu.els.views import batch_status, essay_status
from huleedu.store.migrations import Migrations, migrate
from tests.support.builders import AT, hear, spellcheck_result
from tests.support.wishing import proceed

BEFORE = ("create_batch_and_essay", "keep_essays_by_row")
DAY = timedelta(days=1)
QUARTER = timedelta(minutes=15)


def of_the_older_program() -> list[Migrations]:
    """Return its sets of migrations: those of ELS without what came later."""
    older = Migrations(els_migrations.name)
    older._migrations = [one for one in els_migrations._migrations if one.name in BEFORE]
    assert len(older._migrations) == len(BEFORE)
    return [older, *(one for one in MIGRATIONS if one is not els_migrations)]


def older_store() -> sqlite3.Connection:
    """A store with a batch that waits for a text, one that is being checked, and one at its end."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "test", of_the_older_program())
    at = to_text(AT)
    connection.executemany(
        "INSERT INTO batch (batch_id, essay_ids, filled, registered_at, ready_at, attempt, pending,"
        " concluded_at) VALUES (?, ?, 1, ?, ?, ?, ?, ?)",
        [
            ("waits", '["e1","e2"]', at, None, 0, 0, None),
            ("checked", '["e1"]', at, at, 1, 1, None),
            ("over", '["e1"]', at, at, 1, 0, at),
        ],
    )
    connection.executemany(
        "INSERT INTO essay (batch_id, essay_id, status, attempt, text_storage_id, timeline,"
        " updated_at) VALUES (?, 'e1', ?, ?, 't1', '{}', ?)",
        [
            ("waits", "ready_for_processing", 0, at),
            ("checked", "awaiting_spellcheck", 1, at),
            ("over", "spellcheck_failed", 1, at),
        ],
    )
    return connection


def test_what_an_older_store_holds_is_kept_and_goes_on() -> None:
    """A result, a wish and a question find their batch."""
    with closing(older_store()) as store:
        migrate(store, "test", MIGRATIONS)
        said = EssayLifecycle().apply(
            store, [hear(spellcheck_result("checked", "e1")), hear(proceed("waits"))], AT
        )

        assert [hear(message).batch_id for message in said] == ["waits", "checked"]
        assert essay_status(store, "e1", "checked")["current_status"] == "spellchecked_success"
        assert batch_status(store, "waits")["status_breakdown"] == {
            "ready_for_processing": 1,
            "content_ingestion_failed": 1,
        }
        assert batch_status(store, "over")["completion_percentage"] == 100.0


def test_the_batches_of_an_older_store_get_their_deadlines() -> None:
    """Readiness counts from the registration; a phase from when the new program starts."""
    start = AT + 3 * DAY
    with closing(older_store()) as store:
        migrate(store, "test", MIGRATIONS)
        Deadlines(store, start).listen()
        assert Deadlines(store, start).adopt(timedelta(days=1)) == 1
        assert Deadlines(store, start).adopt(timedelta(days=1)) == 0

        late = Deadlines(store, start).pass_readiness(10)
        early = Deadlines(store, start + QUARTER - timedelta(seconds=1)).pass_phases(QUARTER, 10)
        over = Deadlines(store, start + QUARTER).pass_phases(QUARTER, 10)

    assert [(one.batch_id, one.seconds) for one in late] == [("waits", DAY.total_seconds())]
    assert early == []
    assert [(one.batch_id, one.failed_essay_ids) for one in over] == [("checked", ["e1"])]


def test_batches_of_an_older_store_stand_in_the_order_of_their_registration() -> None:
    """Whatever their ids are: their counts change together, and so lie on the same pages."""
    with closing(older_store()) as store:
        store.execute(
            "UPDATE batch SET registered_at = ? WHERE batch_id = 'over'", (to_text(AT - DAY),)
        )
        store.execute(
            "UPDATE batch SET registered_at = ? WHERE batch_id = 'checked'", (to_text(AT + DAY),)
        )
        before = store.execute("SELECT * FROM batch ORDER BY batch_id").fetchall()
        migrate(store, "test", MIGRATIONS)

        in_order = store.execute("SELECT batch_id FROM batch ORDER BY rowid").fetchall()
        assert in_order == [("over",), ("waits",), ("checked",)]
        after = store.execute("SELECT * FROM batch ORDER BY batch_id").fetchall()
        assert [row[1 : 1 + len(before[0])] for row in after] == before  # behind its number
        with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
            store.execute("INSERT INTO batch (batch_id) VALUES (NULL)")
