"""Names of pupils travel with their texts, and in nothing else that is said."""

import sqlite3
from pathlib import Path

import pytest

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
    every outbox are searched.  Results show the names all the same."""
    async with school(tmp_path) as running:
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
        said = await _said(running)

    assert {
        E.BATCH_ESSAYS_READY,
        E.BATCH_READINESS_TIMEOUT,
        E.BATCH_SPELLCHECK_INITIATE_COMMAND,
        E.BATCH_PHASE_CONCLUDED,
    } <= {event for event, _ in said}
    naming = {event for event, text in said for name in NAMES if name.split()[1] in text}
    assert naming == {E.ESSAY_CONTENT_READY}
    shown = {essay["student_name"] for essay in results["essays"]}
    assert shown == {*NAMES, None}
