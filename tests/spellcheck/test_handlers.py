"""Every request is answered once, whatever becomes of the text or the checker."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import structlog
from msgspec.structs import replace

from huleedu.content import MIGRATIONS as CONTENT_MIGRATIONS
from huleedu.content import LocalContent
from huleedu.core.enums import ContentType, EssayStatus, Language, ProcessingEvent
from huleedu.core.errors import PeerUnavailable, StoreUnavailable
from huleedu.core.ids import StorageId
from huleedu.core.message import Header, Message
from huleedu.core.messages import (
    EssayLifecycleSpellcheckRequestV1,
    SpellcheckResultDataV1,
    essay_reference,
    metadata_of,
)
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits, SpellcheckSettings
from huleedu.core.topics import topic_name
from huleedu.spellcheck.errors import CheckerDied
from huleedu.spellcheck.handlers import subscriptions
from huleedu.spellcheck.model import CheckedText, Correction, Kind
from huleedu.store.database import Database
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS
from huleedu.transport.memory import MemoryTransport
from huleedu.transport.protocol import Delivery, Subscription
from tests.support.builders import AT, CORRELATION, hear, say
from tests.support.dead_letters import read_dead_letters
from tests.support.eventually import eventually
from tests.transport.bus import until, until_sent

pytestmark = pytest.mark.anyio

REQUESTED = ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED
RESULT = ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED


class TehChecker:
    """Knows one misspelling; dies on one text and has a bug with another."""

    async def check(self, text: str, language: Language) -> CheckedText:
        if "kill" in text:
            raise CheckerDied("the checker died on this text")
        if "bug" in text:
            raise ZeroDivisionError("a bug of ours")
        at = text.find("teh")
        if at < 0:
            return CheckedText(corrected=text, corrections=())
        found = Correction(
            offset=at,
            length=3,
            original="teh",
            correction="the",
            alternatives=("the",),
            confidence=0.9,
            kind=Kind.MISSPELLING,
        )
        return CheckedText(corrected=text.replace("teh", "the", 1), corrections=(found,))


class Listener:
    """Hears results."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def handle(self, delivery: Delivery) -> None:
        self.messages += delivery.messages

    async def set_aside(self, delivery: Delivery, cause: object) -> None:
        raise AssertionError(f"a result was set aside: {cause}")


class Worker:
    """The spell-checker on a memory bus, and what came of it."""

    def __init__(
        self,
        transport: MemoryTransport,
        content: LocalContent,
        listener: Listener,
        dead_letters: Database,
    ) -> None:
        self.transport = transport
        self.content = content
        self.dead_letters = dead_letters
        self._listener = listener

    async def ask(self, *requests: Message) -> None:
        """Return when the requests, and what follows from them, are handled."""
        await self.transport.publish(requests)
        await until_sent(self.dead_letters)

    def results(self) -> list[tuple[Message, SpellcheckResultDataV1]]:
        heard = [(message, hear(message).data) for message in self._listener.messages]
        return [(m, data) for m, data in heard if isinstance(data, SpellcheckResultDataV1)]


@asynccontextmanager
async def worker(
    directory: Path, content: Callable[[LocalContent], LocalContent] = lambda content: content
) -> AsyncIterator[Worker]:
    platform = Platform()
    letters = Database(directory / "dead_letters.db", DEAD_LETTER_MIGRATIONS, platform.hops)
    texts = Database(directory / "content.db", CONTENT_MIGRATIONS, platform.hops)
    await letters.open()
    await texts.open()
    transport = MemoryTransport(platform, letters)
    store = LocalContent(texts, platform, Limits())
    listener = Listener()
    own = subscriptions(
        transport, TehChecker(), content(store), platform, SpellcheckSettings(), concurrency=2
    )
    for subscription in (*own, Subscription("listener", [topic_name(RESULT)], listener)):
        transport.subscribe(subscription)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(transport.run)
        yield Worker(transport, store, listener, letters)
        tasks.cancel_scope.cancel()
    await letters.close()
    await texts.close()


def request(
    essay_id: str, storage_id: str, batch_id: str | None = "b", attempt: int = 1
) -> Message:
    essay = essay_reference(batch_id or "b", essay_id)
    if batch_id is None:
        essay = type(essay)(entity_id=essay_id, entity_type=essay.entity_type)
    data = EssayLifecycleSpellcheckRequestV1(
        entity_ref=essay,
        timestamp=AT,
        system_metadata=metadata_of(essay, REQUESTED, AT),
        text_storage_id=storage_id,
        language=Language.ENGLISH,
    )
    return say(REQUESTED, data, attempt=attempt)


async def test_a_checked_essay_is_answered_with_its_corrected_text_and_log(
    tmp_path: Path,
) -> None:
    async with worker(tmp_path) as checking:
        stored = await checking.content.put(b"It is teh end.\r\n")
        asked = request("e1", stored, attempt=3)
        await checking.ask(asked)

        ((message, result),) = checking.results()
        assert result.status is EssayStatus.SPELLCHECKED_SUCCESS
        assert result.corrections_made == 1
        assert (message.key, message.headers[Header.ATTEMPT]) == (b"b", "3")
        assert message.headers[Header.CAUSATION_ID] == asked.event_id
        corrected = result.storage_id(ContentType.CORRECTED_TEXT)
        log = result.storage_id(ContentType.PROCESSING_LOG)
        assert corrected is not None
        assert log is not None
        assert await checking.content.get(StorageId(corrected)) == b"It is the end.\r\n"
        assert b'"original":"teh"' in await checking.content.get(StorageId(log))


async def test_the_same_request_twice_gives_one_event_id(tmp_path: Path) -> None:
    """So that whoever hears the answer can drop the repeat."""
    async with worker(tmp_path) as checking:
        asked = request("e1", await checking.content.put(b"fine"))
        await checking.ask(asked)
        await checking.ask(asked)

        assert len(checking.results()) == 2
        assert len({message.event_id for message, _ in checking.results()}) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"kill", "the checker died"), (b"\xff\xfe\xfd", "UTF-8"), (None, "0" * 32)],
)
async def test_an_essay_that_cannot_be_checked_fails_with_its_reason_and_only_it(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    """A checker that died, a text that is none, a text that is missing."""
    async with worker(tmp_path) as checking:
        stored = StorageId("0" * 32) if content is None else await checking.content.put(content)
        good = await checking.content.put(b"good")
        await checking.ask(request("e1", stored), request("e2", good))

        results = {result.essay_id: result for _, result in checking.results()}
        assert results["e1"].status is EssayStatus.SPELLCHECK_FAILED
        assert reason in results["e1"].system_metadata.error_info["message"]
        assert results["e2"].status is EssayStatus.SPELLCHECKED_SUCCESS


async def test_a_request_that_meets_a_bug_is_set_aside_and_answered(tmp_path: Path) -> None:
    """No batch waits for ever."""
    async with worker(tmp_path) as checking:
        stored = await checking.content.put(b"bug")
        await checking.ask(request("e1", stored))

        ((_, result),) = checking.results()
        assert result.status is EssayStatus.SPELLCHECK_FAILED
        (letter,) = await checking.dead_letters.read(read_dead_letters)
        assert letter.headers["dead-letter-error-class"] == "ZeroDivisionError"


async def test_a_request_that_names_no_batch_is_a_dead_letter(tmp_path: Path) -> None:
    """It cannot be answered to anyone."""
    async with worker(tmp_path) as checking:
        asked = request("e1", "0" * 32, batch_id=None)
        await checking.ask(asked)

        (letter,) = await checking.dead_letters.read(read_dead_letters)
        assert (letter.value, checking.results()) == (asked.value, [])


class AwayAtFirst(LocalContent):
    """A content store that answers the third time."""

    def __init__(self, store: LocalContent) -> None:
        self._store = store
        self.asked = 0

    async def get(self, storage_id: StorageId) -> bytes:
        self.asked += 1
        if self.asked < 3:
            raise PeerUnavailable("the content store does not answer")
        return await self._store.get(storage_id)

    async def put(self, content: bytes) -> StorageId:
        return await self._store.put(content)


async def test_a_content_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """What may heal is tried again, and nothing fails meanwhile."""
    async with worker(tmp_path, content=AwayAtFirst) as checking:
        stored = await checking.content.put(b"teh")
        await checking.ask(request("e1", stored))

        async def statuses() -> Sequence[EssayStatus]:
            return [result.status for _, result in checking.results()]

        await eventually(statuses, lambda seen: seen == [EssayStatus.SPELLCHECKED_SUCCESS])


class Damaged(LocalContent):
    """A content store that cannot give what it keeps any more."""

    def __init__(self, store: LocalContent) -> None:
        self._store = store

    async def get(self, storage_id: StorageId) -> bytes:
        raise StoreUnavailable(f"the content stored under {storage_id} is damaged")

    async def put(self, content: bytes) -> StorageId:
        return await self._store.put(content)


async def test_what_never_heals_ends_before_its_phase(tmp_path: Path) -> None:
    """A request that cannot be worked on is named while it waits, and answered with the reason
    when two thirds of the time are over in which ELS waits for progress."""
    async with worker(tmp_path, content=Damaged) as checking:
        stored = await checking.content.put(b"teh")
        asked = request("e1", stored)
        limited = replace(asked, headers={**asked.headers, "phase-timeout-seconds": "1.5"})
        begin = anyio.current_time()
        await checking.transport.publish([limited])
        await until(lambda: "is damaged" in " ".join(checking.transport.held_up()))
        assert list(checking.transport.troubles()) == []
        await until_sent(checking.dead_letters)
        seconds = anyio.current_time() - begin
        assert list(checking.transport.held_up()) == []

        ((_, result),) = checking.results()
        assert result.status is EssayStatus.SPELLCHECK_FAILED
        assert "is damaged" in result.system_metadata.error_info["message"]
        assert await checking.dead_letters.read(read_dead_letters) == []
        assert seconds > 0.3  # it was tried again


class ListeningContent(LocalContent):
    """Notes under which correlation id it was asked."""

    def __init__(self, inner: LocalContent) -> None:
        self.inner = inner
        self.asked_under: list[object] = []

    async def get(self, storage_id: StorageId) -> bytes:
        self.asked_under.append(structlog.contextvars.get_contextvars().get("correlation_id"))
        return await self.inner.get(storage_id)

    async def put(self, content: bytes) -> StorageId:
        self.asked_under.append(structlog.contextvars.get_contextvars().get("correlation_id"))
        return await self.inner.put(content)


async def test_the_content_store_is_asked_under_the_batchs_correlation_id(tmp_path: Path) -> None:
    """So that its log, wherever it runs, joins the story; afterwards nothing is left of it."""
    asked: list[ListeningContent] = []

    def listening(inner: LocalContent) -> LocalContent:
        asked.append(ListeningContent(inner))
        return asked[0]

    async with worker(tmp_path, listening) as checker:
        stored = await checker.content.put(b"teh end")
        await checker.ask(request("e1", stored))

    assert asked[0].asked_under == [str(CORRELATION)] * 3
    assert "correlation_id" not in structlog.contextvars.get_contextvars()
