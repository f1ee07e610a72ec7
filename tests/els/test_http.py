"""What ELS answers over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits
from huleedu.els import MIGRATIONS, routes
from huleedu.els.handlers import EssayLifecycle
from huleedu.store.database import Database
from huleedu.web.application import build_application
from tests.support.builders import (
    AT,
    content_ready,
    hear,
    registered,
    spellcheck_command,
    spellcheck_result,
)

pytestmark = pytest.mark.anyio


class Els:
    """A store that heard things, and a client that asks about them."""

    def __init__(self, database: Database, client: httpx.AsyncClient) -> None:
        self._database = database
        self._client = client

    async def hears(self, *messages: Message) -> None:
        heard = [hear(message) for message in messages]
        await self._database.write(lambda db: EssayLifecycle().apply(db, heard, AT))

    async def answers(self, path: str) -> httpx.Response:
        return await self._client.get(path)


@pytest.fixture
async def els(tmp_path: Path) -> AsyncIterator[Els]:
    platform = Platform()
    database = Database(tmp_path / "els.db", MIGRATIONS, platform.hops)
    await database.open()
    application = build_application(routes(database), platform=platform, limits=Limits())
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield Els(database, client)
    await database.close()


async def test_an_essay_tells_its_status_texts_and_timeline(els: Els) -> None:
    await els.hears(registered("b", ["e1"]), content_ready("b", "e1", "text-e1"))
    await els.hears(spellcheck_command("b", {"e1": "text-e1"}), spellcheck_result("b", "e1"))

    status = (await els.answers("/v1/essays/e1/status")).json()
    timeline = (await els.answers("/v1/essays/e1/timeline")).json()

    assert status["current_status"] == "spellchecked_success"
    assert status["batch_id"] == "b"
    assert status["processing_progress"]["completed_phases"] == ["spellcheck"]
    assert status["storage_references"] == {
        "original_essay": "text-e1",
        "corrected_text": "corrected-e1",
        "processing_log": "log-e1",
    }
    assert timeline["created_at"] <= timeline["last_updated"]
    assert set(timeline["timeline"]) == {
        "ready_for_processing",
        "awaiting_spellcheck",
        "spellchecked_success",
    }


async def test_a_batch_tells_how_many_essays_stand_where(els: Els) -> None:
    """Also those whose text has not come."""
    await els.hears(registered("b", ["e1", "e2", "e3"]), content_ready("b", "e2", "text-e2"))

    answer = (await els.answers("/v1/batches/b/status")).json()
    essays = (await els.answers("/v1/batches/b/essays")).json()

    assert answer == {
        "batch_id": "b",
        "total_essays": 3,
        "status_breakdown": {"ready_for_processing": 1, "uploaded": 2},
        "completion_percentage": 0.0,
        "is_cancelled": False,
    }
    assert [essay["text_storage_id"] for essay in essays["essays"]] == ["text-e2"]


@pytest.mark.parametrize("kind", ["status", "timeline"])
async def test_an_essay_id_of_two_batches_asks_for_the_batch(els: Els, kind: str) -> None:
    """Whether or not their texts have come; which batches they are is not told."""
    await els.hears(registered("batch-1", ["e1"]), content_ready("batch-1", "e1", "s"))
    await els.hears(registered("batch-2", ["e1"]))

    ambiguous = await els.answers(f"/v1/essays/e1/{kind}")
    chosen = await els.answers(f"/v1/essays/e1/{kind}?batch_id=batch-2")

    assert ambiguous.status_code == 409
    assert "?batch_id=" in ambiguous.json()["detail"]
    assert "batch-" not in ambiguous.text
    assert (chosen.status_code, chosen.json()["current_status"]) == (200, "uploaded")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/essays/none/status",
        "/v1/essays/none/status?batch_id=b",
        "/v1/essays/e1/timeline?batch_id=none",
        "/v1/batches/none/status",
        "/v1/batches/none/essays",
    ],
)
async def test_what_does_not_exist_is_a_problem_that_says_so(els: Els, path: str) -> None:
    await els.hears(registered("b", ["e1"]), content_ready("unregistered", "none", "s"))

    answer = await els.answers(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert "none" in answer.json()["detail"]
