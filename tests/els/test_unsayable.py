"""Batches of an older program that are too large for what is to be said of them."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from huleedu.core.clock import to_text
from huleedu.core.enums import ProcessingEvent
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.core.settings import ElsSettings
from huleedu.core.topics import event_on
from huleedu.els import MIGRATIONS
from huleedu.els.handlers import EssayLifecycle
from huleedu.els.store import json_list
from huleedu.els.timekeeper import Timekeeper
from huleedu.store import outbox
from huleedu.store.database import Database
from tests.support.builders import hear, spellcheck_result

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
EARLIER = to_text(NOW - timedelta(hours=9))
TOO_MANY_FOR_AN_OUTCOME = 5_000
TOO_MANY_FOR_A_READINESS = 7_000


@pytest.fixture
async def store(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "els.db", MIGRATIONS, Platform().hops)
    await database.open()
    yield database
    await database.close()


def _ids(count: int) -> list[str]:
    return [f"{number:0>128}" for number in range(count)]


def _put(
    connection: sqlite3.Connection, number: int, batch_id: str, essay_ids: Sequence[str], **at: str
) -> None:
    """Write a batch whose first essay is missing, or waits for its result where ``at`` says so."""
    is_ready = "dispatched_at" in at
    columns = {
        "batch_number": number,
        "batch_id": batch_id,
        "essay_ids": json_list(list(essay_ids)),
        "registered_at": EARLIER,
        "filled": len(essay_ids) - (not is_ready),
        "attempt": int(is_ready),
        "pending": int(is_ready),
        **at,
    }
    places = ", ".join("?" * len(columns))
    connection.execute(
        f"INSERT INTO batch ({', '.join(columns)}) VALUES ({places})", tuple(columns.values())
    )
    done = "spellchecked_success" if is_ready else "ready_for_processing"
    rows = [(number, essay_id, done, "a" * 32, "b" * 32, EARLIER) for essay_id in essay_ids[1:]]
    if is_ready:
        rows.append((number, essay_ids[0], "awaiting_spellcheck", "a" * 32, "b" * 32, EARLIER))
    connection.executemany(
        "INSERT INTO essay (batch_number, essay_id, status, attempt, text_storage_id,"
        " corrected_storage_id, timeline, updated_at) VALUES (?, ?, ?, 1, ?, ?, '{}', ?)",
        rows,
    )


def _phase() -> dict[str, str]:
    return dict.fromkeys(("ready_at", "dispatched_at", "progressed_at"), EARLIER)


async def _said(store: Database) -> list[tuple[ProcessingEvent, str]]:
    def query(connection: sqlite3.Connection) -> list[Message]:
        return [
            row.message
            for topic in outbox.topics_waiting(connection)
            for row in outbox.unsent(connection, topic, 0, 100)
        ]

    return [(event_on(m.topic), hear(m).batch_id) for m in await store.read(query)]


@pytest.mark.parametrize(
    ("count", "at", "event"),
    [
        (TOO_MANY_FOR_AN_OUTCOME, _phase(), ProcessingEvent.BATCH_PHASE_CONCLUDED),
        (
            TOO_MANY_FOR_A_READINESS,
            {"deadline_at": EARLIER},
            ProcessingEvent.BATCH_READINESS_TIMEOUT,
        ),
    ],
)
async def test_a_deadline_that_cannot_be_said_stops_no_other(
    store: Database, count: int, at: dict[str, str], event: ProcessingEvent
) -> None:
    """The batch is set apart, once, with its id in the log; deadlines of others are said."""

    def put(connection: sqlite3.Connection) -> None:
        _put(connection, 1, "large", _ids(count), **at)
        _put(connection, 2, "small", _ids(2), **at)
        connection.execute("INSERT INTO listening VALUES (1, ?)", (to_text(NOW),))

    await store.write(put)
    keeper = Timekeeper(store, ElsSettings())
    with structlog.testing.capture_logs() as lines:
        await keeper.look(NOW, is_hearing=True)
        await keeper.look(NOW + timedelta(seconds=1), is_hearing=True)

    assert await _said(store) == [(event, "small")]
    apart = [line for line in lines if line["event"] == "batch_unsayable"]
    assert [(line["batch_id"], line["log_level"]) for line in apart] == [("large", "error")]


async def test_a_result_after_which_an_outcome_cannot_be_said_is_kept(store: Database) -> None:
    """The last answer counts, though nobody can be told of the end; neighbours are concluded."""

    def work(connection: sqlite3.Connection) -> Sequence[Message]:
        _put(connection, 1, "large", _ids(TOO_MANY_FOR_AN_OUTCOME), **_phase())
        _put(connection, 2, "small", _ids(2), **_phase())
        results = [spellcheck_result(batch_id, _ids(1)[0]) for batch_id in ("large", "small")]
        return EssayLifecycle().apply(connection, [hear(one) for one in results], NOW)

    said = await store.write(work)

    assert [hear(one).batch_id for one in said] == ["small"]
    assert await store.read(
        lambda db: db.execute("SELECT pending FROM batch ORDER BY batch_number").fetchall()
    ) == [(0,), (0,)]
