"""The shell of a module with a store: what it hears, refuses and puts aside."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from huleedu.core.enums import ProcessingEvent
from huleedu.core.message import Header, Message
from huleedu.core.metrics import DEAD_LETTERS
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.handled import handled_migrations
from huleedu.store.outbox import outbox_migrations
from huleedu.transport.consumer import Heard, StoreConsumer
from huleedu.transport.event_progress import EventProgress
from huleedu.transport.protocol import Delivery
from tests.support.builders import say
from tests.support.consumers import effect_migrations, note_effects, read_effects
from tests.support.samples import BATCH_ID, DATA

pytestmark = pytest.mark.anyio
REQUESTED = ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED
RESULT = ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED


@pytest.fixture
async def store(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Database]:
    migrations = [outbox_migrations, handled_migrations, effect_migrations]
    store = Database(tmp_path / "module.db", migrations, Platform().hops)
    await store.open()
    yield store
    await store.close()


def _delivery(messages: Sequence[Message]) -> Delivery:
    return Delivery("g", messages, 1, EventProgress("g", messages, Platform()))


async def _outbox(store: Database) -> list[Message]:
    def query(connection: sqlite3.Connection) -> list[Message]:
        return [
            row.message
            for topic in outbox.topics_waiting(connection)
            for row in outbox.unsent(connection, topic, 0, 1_000)
        ]

    return await store.read(query)


def _nameless(event: ProcessingEvent, key: bytes) -> Message:
    """Return a foreign sender's message about an essay that does not name its batch."""
    message = say(event, DATA[event])
    value = message.value.replace(b'"parent_id":"' + BATCH_ID.encode() + b'"', b'"parent_id":null')
    assert value != message.value
    return Message(message.topic, key, value, message.headers)


async def _hear(store: Database, messages: Sequence[Message]) -> list[Heard]:
    kept: list[Heard] = []

    def apply(db, heard, now):  # type: ignore[no-untyped-def]
        kept.extend(heard)
        return note_effects(db, heard, now)

    await StoreConsumer(store, apply, Platform(), "module").handle(_delivery(messages))
    return kept


async def test_a_repeat_inside_a_delivery_keeps_the_first_place(store: Database) -> None:
    """Said again behind a later message of its key, an event still counts where it was first."""
    cancel, extend = (
        say(event, DATA[event])
        for event in (ProcessingEvent.BATCH_CANCELLED, ProcessingEvent.BATCH_READINESS_EXTENDED)
    )
    heard = await _hear(store, [cancel, extend, cancel])

    assert [one.message for one in heard] == [cancel, extend]
    assert await _hear(store, [extend, cancel]) == []
    assert len(await store.read(read_effects)) == 2


@pytest.mark.parametrize(
    ("text", "attempt"), [(None, None), ("1", 1), ("2", 2), ("007", 7), ("999999", 999_999)]
)
async def test_an_attempt_is_a_whole_number_from_one(
    store: Database, text: str | None, attempt: int | None
) -> None:
    """The header says which attempt a message belongs to; a foreign sender may leave it out."""
    headers = {} if text is None else {str(Header.ATTEMPT): text}
    (one,) = await _hear(store, [say(RESULT, DATA[RESULT], headers=headers)])

    assert one.attempt == attempt


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", "one", "1 ", "²", "٣", "9" * 5_000])
async def test_another_attempt_makes_a_dead_letter(store: Database, text: str) -> None:
    """A header that is no number from 1 is refused with its message, at once."""
    message = say(RESULT, DATA[RESULT], headers={str(Header.ATTEMPT): text})

    assert await _hear(store, [message]) == []
    (letter,) = await _outbox(store)
    assert letter.topic == f"{message.topic}.dlq"
    assert "attempt" in letter.headers["dead-letter-error-message"]
    assert len(letter.headers["dead-letter-error-message"]) < 200


async def test_the_key_names_the_batch_where_the_data_does_not(store: Database) -> None:
    """A foreign checker's result that names only the essay belongs to the batch of its key."""
    (one,) = await _hear(store, [_nameless(RESULT, BATCH_ID.encode())])

    assert (one.batch_id, one.essay_id) == (BATCH_ID, "essay-1")


@pytest.mark.parametrize("key", [b"", b"\xff\xfe"])
async def test_a_message_of_no_batch_is_a_dead_letter(store: Database, key: bytes) -> None:
    """Where neither the data nor a readable key names the batch, the message goes aside."""
    lost = _nameless(RESULT, key)

    assert await _hear(store, [lost]) == []
    (letter,) = await _outbox(store)
    assert (letter.key, letter.value) == (key, lost.value)


async def test_the_key_of_a_request_is_no_batch(store: Database) -> None:
    """A request is keyed by its essay: without its batch in the data it goes aside, instead of
    being taken for one of a batch with the essay's name."""
    assert await _hear(store, [_nameless(REQUESTED, b"essay-1")]) == []
    assert len(await _outbox(store)) == 1


async def test_a_message_put_aside_counts_as_handled(store: Database) -> None:
    """A dead letter goes out once, with all that the message carried, and it is not heard again."""
    message = say(RESULT, DATA[RESULT], headers={"owner": "o7"})
    consumer = StoreConsumer(store, note_effects, Platform(), "module")
    for _ in range(2):
        await consumer.set_aside(_delivery([message]), {"dead-letter-error-class": "X"})

    (letter,) = await _outbox(store)
    assert letter.headers == {**message.headers, "dead-letter-error-class": "X"}
    assert await _hear(store, [message]) == []


async def test_when_applying_fails_nothing_is_kept(store: Database) -> None:
    """A failure in the module undoes effects, dead letters and the note of what was handled."""
    good = say(RESULT, DATA[RESULT])
    broken = Message(good.topic, b"k", b"{", {})

    def apply(db, heard, now):  # type: ignore[no-untyped-def]
        note_effects(db, heard, now)
        raise ZeroDivisionError

    consumer = StoreConsumer(store, apply, Platform(), "module")
    with pytest.raises(ZeroDivisionError):
        await consumer.handle(_delivery([good, broken]))

    assert await _outbox(store) == []
    assert await store.read(read_effects) == []
    assert len(await _hear(store, [good, broken])) == 1


async def test_what_cannot_be_read_is_counted_where_it_is_set_aside(store: Database) -> None:
    """Once a message, by topic and group, when its dead letter is written."""
    message = say(REQUESTED, DATA[REQUESTED])
    named = {**message.headers, Header.EVENT_ID: str(uuid4())}
    broken = Message(message.topic, message.key, b"{", named)
    before = _counted(broken)

    await _hear(store, [message, broken])

    assert _counted(broken) - before == 1


def _counted(message: Message) -> float:
    labels = {"topic": message.topic, "group": "g"}
    return REGISTRY.get_sample_value(f"{DEAD_LETTERS._name}_total", labels) or 0.0
