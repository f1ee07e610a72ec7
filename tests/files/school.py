"""A school that uploads: the module on a real store, driven as its neighbours drive it."""

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx

from huleedu.content import storage_id_of
from huleedu.core.errors import NotFound, PeerUnavailable
from huleedu.core.ids import StorageId
from huleedu.core.message import Message
from huleedu.core.messages import EssayContentReady
from huleedu.core.platform import Platform
from huleedu.core.settings import FilesSettings, Limits
from huleedu.files import MIGRATIONS, routes, subscriptions
from huleedu.files.extraction import ExtractionLimits
from huleedu.files.sandbox import Extractor
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.transport.event_progress import EventProgress
from huleedu.transport.protocol import Delivery
from huleedu.web.application import build_application
from tests.files.inline import ExtractInline
from tests.support import builders

SETTINGS = FilesSettings(registration_wait_seconds=0.05)
LIMITS = Limits()


@dataclass
class FakeContent:
    """A content store in memory that can be away, or wait before it answers."""

    texts: dict[StorageId, bytes] = field(default_factory=dict)
    puts_until_away: int | None = None
    puts_until_held: int | None = None
    held: anyio.Event = field(default_factory=anyio.Event)

    async def put(self, content: bytes) -> StorageId:
        await anyio.lowlevel.checkpoint()
        if self.puts_until_away is not None:
            if self.puts_until_away == 0:
                raise PeerUnavailable("the content store does not answer")
            self.puts_until_away -= 1
        storage_id = storage_id_of(content)
        self.texts[storage_id] = content
        if self.puts_until_held is not None:
            if self.puts_until_held == 0:
                self.held.set()
                await anyio.sleep_forever()
            self.puts_until_held -= 1
        return storage_id

    async def get(self, storage_id: StorageId) -> bytes:
        if storage_id not in self.texts:
            raise NotFound(storage_id)
        return self.texts[storage_id]


@dataclass
class School:
    """The module, its store, and a client of its route."""

    database: Database
    content: FakeContent
    platform: Platform
    client: httpx.AsyncClient

    async def hears(self, *messages: Message) -> None:
        """Deliver messages as a transport does."""
        (subscription,) = subscriptions(self.database, self.platform, SETTINGS)
        group = subscription.group
        progress = EventProgress(group, messages, self.platform)
        await subscription.consumer.handle(Delivery(group, messages, 1, progress))

    async def registers(self, batch_id: str, essay_ids: Sequence[str]) -> None:
        await self.hears(builders.registered(batch_id, essay_ids))

    async def uploads(
        self,
        batch_id: str,
        files: Sequence[tuple[str, bytes]],
        essay_ids: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a form in which each essay id goes before its file."""
        parts: list[tuple[str, tuple[str | None, bytes]]] = [
            ("batch_id", (None, batch_id.encode()))
        ]
        ids = [("essay_id", (None, essay_id.encode())) for essay_id in essay_ids]
        for place, (name, content) in enumerate(files):
            parts += ids[place : place + 1]
            parts.append(("files", (name, content)))
        parts += ids[len(files) :]
        return await self.client.post("/v1/files/batch", files=parts, headers=headers)

    async def said(self) -> list[Message]:
        """Return what waits in the outbox."""
        (topic,) = await self.database.read(outbox.topics_waiting) or (None,)
        if topic is None:
            return []
        rows = await self.database.read(lambda db: outbox.unsent(db, topic, 0, 100_000))
        return [row.message for row in rows]

    async def said_texts(self) -> list[tuple[str, str]]:
        """Return the (essay id, text) of each event, in order."""
        return [
            (one.essay_id, self.content.texts[StorageId(one.text_storage_id)].decode())
            for one in map(content_ready_in, await self.said())
        ]


def content_ready_in(message: Message) -> EssayContentReady:
    data = builders.hear(message).data
    assert isinstance(data, EssayContentReady)
    return data


def essays_in(answer: httpx.Response) -> list[str | None]:
    """Return the essay of each file, None where it has none."""
    assert answer.status_code == 202, answer.text
    return [file.get("essay_id") for file in answer.json()["files"]]


@asynccontextmanager
async def school(
    directory: Path | None = None,
    *,
    settings: FilesSettings = SETTINGS,
    limits: Limits = LIMITS,
    content: FakeContent | None = None,
    extractor: Extractor | None = None,
) -> AsyncIterator[School]:
    """Open the store in ``directory`` (or one of its own) and the application on it."""
    with tempfile.TemporaryDirectory() as own:
        platform = Platform()
        content = content or FakeContent()
        database = Database((directory or Path(own)) / "files.db", MIGRATIONS, platform.hops)
        await database.open()
        try:
            inline = ExtractInline(ExtractionLimits(text_bytes_max=limits.text_bytes))
            app = build_application(
                routes(database, platform, settings, limits, content, extractor or inline),
                platform=platform,
                limits=limits,
            )
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app), base_url="http://localhost"
            ) as client:
                yield School(database, content, platform, client)
        finally:
            await database.close()
