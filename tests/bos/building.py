"""A BOS to test, and what ELS would say to it."""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import msgspec

from huleedu.bos import MIGRATIONS, routes
from huleedu.core.enums import Language, PipelineExecutionStatus, ProcessingEvent
from huleedu.core.errors import NotFound, Unavailable
from huleedu.core.ids import StorageId
from huleedu.core.message import Message
from huleedu.core.messages import (
    BatchEssaysReady,
    BatchReadinessTimeout,
    ELSBatchPhaseOutcomeV1,
    EssayProcessingInputRefV1,
    Moment,
    batch_reference,
    metadata_of,
)
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits, Settings
from huleedu.store.database import Database
from huleedu.store.migrations import migrate
from huleedu.web.application import build_application
from tests.support.builders import AT, say

COURSES: Mapping[str, Language] = {
    "SV1": Language.SWEDISH,
    "ENG5": Language.ENGLISH,
}
SUCCESS = PipelineExecutionStatus.COMPLETED_SUCCESSFULLY
PARTIAL = PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS
FAILED = PipelineExecutionStatus.FAILED


class FakeContent:
    """Texts in a dict (see ``core.ports.ContentClient``)."""

    def __init__(self) -> None:
        self.texts: dict[StorageId, bytes] = {}

    async def put(self, content: bytes) -> StorageId:
        storage_id = StorageId(sha256(content).hexdigest()[:32])
        self.texts[storage_id] = content
        return storage_id

    async def get(self, storage_id: StorageId) -> bytes:
        try:
            return self.texts[storage_id]
        except KeyError:
            raise NotFound(storage_id) from None


class FakeReferences:
    """What ELS knows of each batch (see ``core.ports.EssayReferences``), and how it fails."""

    def __init__(self) -> None:
        self.essays: dict[str, list[EssayProcessingInputRefV1]] = {}
        self.asked: list[str] = []
        self.trouble: Unavailable | None = None

    async def of_batch(self, batch_id: str) -> Sequence[EssayProcessingInputRefV1]:
        self.asked.append(batch_id)
        if self.trouble is not None:
            raise self.trouble
        try:
            return self.essays[batch_id]
        except KeyError:
            raise NotFound(batch_id) from None


@dataclass(frozen=True)
class Bos:
    """A running BOS: its store, its HTTP interface, its texts."""

    client: httpx.AsyncClient
    database: Database
    content: FakeContent
    platform: Platform

    async def outbox(self) -> list[Message]:
        return await self.database.read(said_in)

    async def register(self, **changes: Any) -> httpx.Response:
        return await self.client.post("/v1/batches/register", json=body(**changes))


@asynccontextmanager
async def running_bos(
    directory: Path, platform: Platform | None = None, limits: Limits | None = None
) -> AsyncIterator[Bos]:
    platform = platform or Platform()
    settings = Settings(limits=limits or Limits())
    database = Database(directory / "bos.db", MIGRATIONS, platform.hops)
    content = FakeContent()
    await database.open()
    app: Any = build_application(
        routes(database, platform, settings, COURSES, content),
        platform=platform,
        limits=settings.limits,
    )
    try:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield Bos(client, database, content, platform)
    finally:
        await database.close()


@contextmanager
def store_in_memory() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "test", MIGRATIONS)
    try:
        yield connection
    finally:
        connection.close()


def said_in(connection: sqlite3.Connection) -> list[Message]:
    rows = connection.execute("SELECT topic, key, value, headers FROM outbox ORDER BY id")
    return [Message(t, k, v, msgspec.json.decode(h)) for t, k, v, h in rows]


def body(**changes: Any) -> dict[str, Any]:
    """Return the body of a registration without faults, with these fields changed."""
    essay_ids = changes.get("essay_ids", ["essay-1", "essay-2", "essay-3"])
    whole = {
        "expected_essay_count": len(essay_ids),
        "essay_ids": essay_ids,
        "course_code": "ENG5",
        "class_designation": "Class 9A",
        "essay_instructions": "Write about your summer.",
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def essays_ready(batch_id: str, essay_ids: Sequence[str], *, references: bool = True) -> Message:
    event = ProcessingEvent.BATCH_ESSAYS_READY
    batch = batch_reference(batch_id)
    data = BatchEssaysReady(
        batch_id=batch_id,
        ready_essay_ids=list(essay_ids),
        total_count=len(essay_ids),
        batch_entity=batch,
        metadata=metadata_of(batch, event, AT),
        ready_essays=references_to(essay_ids) if references else None,
    )
    return say(event, data)


def phase_outcome(
    batch_id: str,
    status: PipelineExecutionStatus,
    done: Sequence[str],
    failed: Sequence[str] = (),
    *,
    attempt: int | None = 1,
) -> Message:
    event = ProcessingEvent.BATCH_PHASE_CONCLUDED
    batch = batch_reference(batch_id)
    data = ELSBatchPhaseOutcomeV1(
        entity_ref=batch,
        timestamp=AT,
        phase_status=status,
        processed_essays=references_to(done),
        failed_essay_ids=list(failed),
        system_metadata=metadata_of(batch, event, AT),
    )
    return say(event, data, attempt=attempt)


def readiness_timeout(batch_id: str, missing: Sequence[str], at: Moment = AT) -> Message:
    event = ProcessingEvent.BATCH_READINESS_TIMEOUT
    data = BatchReadinessTimeout(
        batch_id=batch_id,
        ready_essay_ids=[],
        missing_essay_ids=list(missing),
        expected_count=len(missing),
        actual_count=0,
        timeout_duration_seconds=60,
        metadata=metadata_of(batch_reference(batch_id), event, at),
    )
    return say(event, data)


def references_to(essay_ids: Sequence[str]) -> list[EssayProcessingInputRefV1]:
    return [
        EssayProcessingInputRefV1(essay_id=essay_id, text_storage_id=f"text-{essay_id}")
        for essay_id in essay_ids
    ]
