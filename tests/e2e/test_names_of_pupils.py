"""Names of pupils travel with their texts, and in nothing else that is said."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from huleedu.core.enums import ProcessingEvent
from huleedu.core.topics import event_on
from tests.e2e.school import School, school
from tests.support.eventually import eventually

pytestmark = pytest.mark.anyio

E = ProcessingEvent
NAMES = ("Astrid Blomkvist", "Love Sandell")


async def _said(running: School) -> list[tuple[ProcessingEvent, str]]:
    def query(connection: sqlite3.Connection) -> list[tuple[str, bytes, bytes, str]]:
        return connection.execute("SELECT topic, key, value, headers FROM outbox").fetchall()

    stores = [running.running.stores[module] for module in ("bos", "els", "files", "results")]
    return [
        (event_on(topic), f"{key!r} {value.decode()} {headers}")
        for store in stores
        for topic, key, value, headers in await store.read(query)
    ]


async def test_a_name_is_said_with_the_text_only(tmp_path: Path) -> None:
    """A class of which one text is missing at the deadline, that goes on without it: the rows of
    every outbox are searched.  Results show the names all the same; the log does not."""
    with capture_logs() as lines:
        said, results = await _class_that_goes_on_without_one(tmp_path)

    assert {
        E.BATCH_ESSAYS_READY,
        E.BATCH_READINESS_TIMEOUT,
        E.BATCH_SPELLCHECK_INITIATE_COMMAND,
        E.BATCH_PHASE_CONCLUDED,
    } <= {event for event, _ in said}
    assert {event for event, text in said if _names_one(text)} == {E.ESSAY_CONTENT_READY}
    assert {essay["student_name"] for essay in results["essays"]} == {*NAMES, None}
    assert "student_details_received" in {line["event"] for line in lines}
    assert [line for line in lines if line["log_level"] != "debug" and _names_one(str(line))] == []


def _names_one(text: str) -> bool:
    return any(name.split()[1] in text for name in NAMES)


async def _class_that_goes_on_without_one(
    data_dir: Path,
) -> tuple[Sequence[tuple[ProcessingEvent, str]], Mapping[str, Any]]:
    """Return all that was said, and the results."""
    async with school(data_dir) as running:
        answer = await running.register("ENG5", 3, readiness_timeout_seconds=1)
        batch_id = answer.json()["batch_id"]
        files = {f"{name}.txt": f"I beleive in sumer and {name[0]}.".encode() for name in NAMES}
        await running.upload(batch_id, files)

        async def events() -> set[ProcessingEvent]:
            return {event for event, _ in await _said(running)}

        await eventually(events, lambda said: E.BATCH_READINESS_TIMEOUT in said)
        await running.client.post(f"/v1/batches/{batch_id}/proceed", json={})
        await running.ended(batch_id)
        results = await running.results(batch_id)
        return await _said(running), results
