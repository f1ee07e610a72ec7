"""A results store that hears messages, with its routes."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx

from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits, ResultsSettings
from huleedu.results import MIGRATIONS, routes, subscriptions
from huleedu.store.database import Database
from huleedu.transport.event_progress import EventProgress
from huleedu.transport.protocol import Delivery
from huleedu.web.application import build_application
from tests.results.fake_content import FakeContent


@dataclass
class Serving:
    """What a test needs of a running results module."""

    database: Database
    content: FakeContent
    application: Any
    stopping: anyio.Event
    _platform: Platform
    _settings: ResultsSettings

    async def hear(self, messages: Iterable[Message]) -> None:
        """Deliver the messages as the memory bus does, one fetch a topic."""
        (subscription,) = subscriptions(self.database, self._platform, self._settings)
        heard = list(messages)
        assert {message.topic for message in heard} <= set(subscription.topics)
        progress = EventProgress(subscription.group, heard, self._platform)
        await subscription.consumer.handle(Delivery(subscription.group, heard, 1, progress))

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.application)
        return httpx.AsyncClient(transport=transport, base_url="http://localhost")


@asynccontextmanager
async def serving(directory: Path, heartbeat_seconds: float = 15.0) -> AsyncIterator[Serving]:
    platform = Platform()
    settings = ResultsSettings(heartbeat_seconds=heartbeat_seconds)
    database = Database(directory / "results.db", MIGRATIONS, platform.hops)
    await database.open()
    content, stopping = FakeContent({}), anyio.Event()
    application = build_application(
        routes(database, platform, settings, content, stopping),
        platform=platform,
        limits=Limits(),
    )
    try:
        yield Serving(database, content, application, stopping, platform, settings)
    finally:
        await database.close()
