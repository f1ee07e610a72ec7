"""Every module as a consumer of its topics, on a store of its own that knows one batch."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from huleedu import bos, els, files, results
from huleedu.bos.api_models import BatchRegistrationRequestV1
from huleedu.bos.registration import new_batch
from huleedu.bos.store import SqliteBatchRepository
from huleedu.core.enums import Language
from huleedu.core.errors import Rejected
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.core.settings import Settings
from huleedu.core.topics import DEAD_LETTER_SUFFIX
from huleedu.spellcheck.handlers import subscriptions as spellcheck_subscriptions
from huleedu.spellcheck.model import CheckedText
from huleedu.store.database import Database
from huleedu.store.migrations import Migrations
from huleedu.transport.event_progress import EventProgress
from huleedu.transport.protocol import Delivery, Subscription, Transport
from tests.bos.building import COURSES, FakeContent, FakeReferences, body
from tests.support.builders import AT, content_ready, registered, spellcheck_command
from tests.support.samples import BATCH_ID, CORRECTED, REFERENCES, TEXT

ESSAYS = ["essay-1", "essay-2"]
HANDLED, DEAD_LETTER = "handled", "dead letter"


class Published:
    """What a consumer without a store publishes (see ``transport.protocol``)."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def subscribe(self, subscription: Subscription) -> None: ...

    def relay(self, database: Database) -> None: ...

    async def publish(self, messages: Sequence[Message]) -> None:
        self.messages += messages

    async def run(self) -> None: ...

    def troubles(self) -> Sequence[str]:
        return ()

    def held_up(self) -> Sequence[str]:
        return ()

    def hears(self, group: str) -> bool:
        return not self.troubles()


class SilentChecker:
    async def check(self, text: str, language: Language) -> CheckedText:
        return CheckedText(corrected=text, corrections=())


@dataclass(frozen=True)
class Hearer:
    """One module as a consumer."""

    name: str
    subscription: Subscription

    async def verdict_on(self, message: Message) -> str:
        """Return what becomes of a message that is delivered alone.

        Raises what the module raises where that is neither: trouble, or a bug.
        """
        store = self.subscription.store
        before = 0 if store is None else await store.read(_dead_letters)
        progress = EventProgress(self.subscription.group, [message], Platform())
        delivery = Delivery(self.subscription.group, [message], 1, progress)
        try:
            await self.subscription.consumer.handle(delivery)
        except Rejected:
            return DEAD_LETTER
        after = 0 if store is None else await store.read(_dead_letters)
        return DEAD_LETTER if after > before else HANDLED


def _dead_letters(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute(
        "SELECT count(*) FROM outbox WHERE topic LIKE ?", (f"%{DEAD_LETTER_SUFFIX}",)
    ).fetchone()
    return int(count)


@asynccontextmanager
async def all_hearers(directory: Path) -> AsyncIterator[Sequence[Hearer]]:
    """Yield every module; the batch of the samples is registered, its texts are there, and its
    check is commanded."""
    platform, settings = Platform(), Settings()
    async with AsyncExitStack() as stack:

        async def opened(name: str, migrations: Sequence[Migrations]) -> Database:
            database = Database(directory / f"{name}.db", migrations, platform.hops)
            await database.open()
            stack.push_async_callback(database.close)
            return database

        stores = {
            module.__name__.rpartition(".")[2]: await opened(module.__name__, module.MIGRATIONS)
            for module in (bos, els, files, results)
        }
        await stores["bos"].write(_register)
        references = FakeReferences()
        references.essays[BATCH_ID] = list(REFERENCES)
        content = FakeContent()
        content.texts |= {TEXT: b"A text.", CORRECTED: b"A text."}  # type: ignore[dict-item]
        published: Transport = Published()
        subscriptions = {
            "bos": bos.subscriptions(stores["bos"], platform, settings, references),
            "els": els.subscriptions(stores["els"], platform, settings.els),
            "files": files.subscriptions(stores["files"], platform, settings.files),
            "results": results.subscriptions(stores["results"], platform, settings.results),
            "spellcheck": spellcheck_subscriptions(
                published, SilentChecker(), content, platform, settings.spellcheck, 1
            ),
        }
        hearers = [Hearer(name, one) for name, several in subscriptions.items() for one in several]
        for hearer in hearers:
            await _acquaint(hearer)
        yield hearers


def _register(connection: sqlite3.Connection) -> None:
    registration = BatchRegistrationRequestV1(**body(essay_ids=ESSAYS))
    batch = new_batch(BATCH_ID, UUID(int=42), registration, COURSES, AT)
    SqliteBatchRepository(connection).store_batch_context(batch, registration, AT)


async def _acquaint(hearer: Hearer) -> None:
    story = [
        registered(BATCH_ID, ESSAYS),
        *(content_ready(BATCH_ID, essay_id, TEXT) for essay_id in ESSAYS),
        spellcheck_command(BATCH_ID, dict.fromkeys(ESSAYS, TEXT)),
    ]
    for message in story:
        if message.topic in hearer.subscription.topics:
            assert await hearer.verdict_on(message) == HANDLED
