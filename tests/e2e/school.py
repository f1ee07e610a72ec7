"""The whole program in this process, and a client that hands in classes."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from huleedu.app import Running, all_in_one
from huleedu.core.settings import Settings
from tests.crash.process import essays_in
from tests.crash.submission import OVER
from tests.support.eventually import eventually


@dataclass(frozen=True)
class School:
    """A running program and whoever uses it."""

    running: Running
    client: httpx.AsyncClient

    async def register(self, course: str, essays: int, **more: Any) -> httpx.Response:
        essay_ids = [f"essay-{number:02}" for number in range(1, essays + 1)]
        body = {
            "expected_essay_count": essays,
            "essay_ids": essay_ids,
            "course_code": course,
            "class_designation": "9A",
            "essay_instructions": "Write.",
        }
        return await self.client.post("/v1/batches/register", json=body | more)

    async def upload(self, batch_id: str, files: Mapping[str, bytes]) -> httpx.Response:
        parts = [("files", named) for named in files.items()]
        return await self.client.post("/v1/files/batch", data={"batch_id": batch_id}, files=parts)

    async def hand_in(self, course: str, folder: Path) -> str:
        """Register and upload a whole class; return its batch id."""
        files = {path.name: path.read_bytes() for path in essays_in(folder)}
        registered = await self.register(course, len(files))
        assert registered.status_code == 202, registered.text
        batch_id: str = registered.json()["batch_id"]
        uploaded = await self.upload(batch_id, files)
        assert uploaded.status_code == 202, uploaded.text
        return batch_id

    async def batch(self, batch_id: str) -> Mapping[str, Any]:
        answer = await self.client.get(f"/v1/batches/{batch_id}")
        seen: Mapping[str, Any] = answer.json()
        return seen

    async def ended(self, batch_id: str) -> Mapping[str, Any]:
        """Return the batch once it has ended."""

        async def look() -> Mapping[str, Any]:
            return await self.batch(batch_id)

        return await eventually(look, lambda batch: batch["status"] in OVER, seconds=40)

    async def results(self, batch_id: str) -> Mapping[str, Any]:
        """Return the results once the projection has caught up with the end."""

        async def look() -> Mapping[str, Any]:
            answer = await self.client.get(f"/v1/results/{batch_id}?include=corrections")
            seen: Mapping[str, Any] = answer.json()
            return seen

        return await eventually(look, lambda results: results.get("status") in OVER)

    async def said(self) -> Sequence[tuple[str, str, str]]:
        """Return (topic, event id, correlation id) of every outbox row of every module."""
        rows: list[tuple[str, str, str]] = []
        for module in ("bos", "els", "files"):
            rows += await self.running.stores[module].read(
                lambda db: db.execute(
                    "SELECT topic, event_id, headers ->> '$.correlation-id' FROM outbox"
                ).fetchall()
            )
        return rows


@asynccontextmanager
async def school(data_dir: Path, settings: Settings | None = None) -> AsyncIterator[School]:
    """Run the program on a data directory for as long as the block lasts."""
    async with all_in_one(settings or Settings(data_dir=data_dir)) as running:
        transport = httpx.ASGITransport(app=running.application)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", timeout=60
        ) as client:
            yield School(running, client)
