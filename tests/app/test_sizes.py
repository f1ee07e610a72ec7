"""Everything can be said about the largest batch that is taken."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from huleedu.bos.action_bodies import CANCELLED_BY_CHARACTERS_MAX, REASON_CHARACTERS_MAX
from huleedu.bos.actions import Cancel, Extend, Proceed, Retry
from huleedu.bos.api_models import BatchRegistrationRequestV1, registration_faults
from huleedu.bos.model import Batch
from huleedu.bos.registration import new_batch, registered_message
from huleedu.bos.speech import action_message, spellcheck_command
from huleedu.core.enums import Language, ProcessingEvent, RefusalReason
from huleedu.core.envelope import decode
from huleedu.core.errors import MalformedMessage, Misconfigured
from huleedu.core.ids import StorageId
from huleedu.core.message import Message
from huleedu.core.messages import (
    ESSAYS_PER_BATCH_MAX,
    EVENT_BYTES_MAX,
    BatchEssaysReady,
    BatchReadinessTimeout,
    EssayProcessingInputRefV1,
)
from huleedu.core.messages.sizes import fit_one_event
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits
from huleedu.core.settings_sources import load_settings
from huleedu.core.topics import TOPICS, event_on
from huleedu.els import speech as els_says
from huleedu.els.deadlines import ReadinessTimeout
from huleedu.els.model import Refusal
from huleedu.els.phases import Conclusion, Dispatch
from huleedu.files.file_names import NAME_BYTES_MAX, STUDENT_NAME_LENGTH_MAX
from huleedu.files.model import NewText
from huleedu.files.speech import essay_content_ready
from huleedu.spellcheck.handlers import SpellcheckWorker
from huleedu.transport.event_progress import EventProgress
from huleedu.transport.protocol import Delivery
from tests.app.hearers import Published, SilentChecker
from tests.bos.building import COURSES, FakeContent, body
from tests.support.builders import AT

WORST = "\x01"  # in JSON it takes six bytes
BATCH_ID = WORST * 128
CORRELATION = UUID(int=42)
STORAGE_ID = "s" * 64
MISSING = "f" * 32


def _ids(count: int, length: int) -> list[str]:
    return [f"{number:0>{length}d}" for number in range(count)]


def _references(ids: Sequence[str]) -> list[EssayProcessingInputRefV1]:
    return [EssayProcessingInputRefV1(essay_id=one, text_storage_id=STORAGE_ID) for one in ids]


def _batch(ids: Sequence[str]) -> tuple[Batch, BatchRegistrationRequestV1]:
    registration = BatchRegistrationRequestV1(**body(essay_ids=ids))
    return new_batch(BATCH_ID, CORRELATION, registration, COURSES, AT), registration


def _of_bos(ids: Sequence[str]) -> Iterator[Message]:
    batch, registration = _batch(ids)
    later = AT + timedelta(days=1)
    yield registered_message(batch, registration, AT)
    yield spellcheck_command(batch, _references(ids), AT)
    yield action_message(replace(batch, extended_at=AT), Extend(later), AT)
    yield action_message(batch, Proceed(), AT)
    reasons = WORST * REASON_CHARACTERS_MAX, WORST * CANCELLED_BY_CHARACTERS_MAX
    yield action_message(batch, Cancel(*reasons), AT)
    yield action_message(batch, Retry(tuple(_references(ids))), AT)


def _of_els(ids: Sequence[str]) -> Iterator[Message]:
    correlation, texts = str(CORRELATION), _references(ids)
    yield from els_says.batch_essays_ready(BATCH_ID, texts, correlation, AT)
    for present in (0, len(ids) // 2, len(ids)):
        timeout = ReadinessTimeout(
            BATCH_ID, "2026-01-12T08:00:00.000000Z", 7_776_000.0, texts[:present], ids[present:]
        )
        yield from els_says.batch_readiness_timeout(timeout, correlation, AT)
        conclusion = Conclusion(BATCH_ID, 999_999, texts[:present], ids[present:])
        yield from els_says.phase_concluded(conclusion, correlation, AT)
    yield _request(ids[0])
    refusal = Refusal(BATCH_ID, WORST * 128, STORAGE_ID, RefusalReason.NOT_REGISTERED)
    yield els_says.essay_content_refused(refusal, correlation, AT)


def _request(essay_id: str) -> Message:
    dispatch = Dispatch(BATCH_ID, essay_id, MISSING, Language.SWEDISH, 999_999)
    return els_says.spellcheck_requested(dispatch, str(CORRELATION), AT)


def _of_files(ids: Sequence[str]) -> Iterator[Message]:
    text = NewText(
        essay_id=ids[0],
        version=999_999,
        storage_id=StorageId(STORAGE_ID),
        file_name=WORST * NAME_BYTES_MAX,
        student_name=WORST * STUDENT_NAME_LENGTH_MAX,
    )
    yield essay_content_ready(BATCH_ID, text, CORRELATION, AT)


def _of_the_checker(ids: Sequence[str]) -> Sequence[Message]:
    """Return its answers about a text that is there and one that is missing."""
    published, content, platform = Published(), FakeContent(), Platform()
    content.texts[StorageId(STORAGE_ID)] = b"A text."

    async def answer() -> None:
        worker = SpellcheckWorker(published, SilentChecker(), content, platform)
        present = _request(ids[0])
        present = replace(present, value=present.value.replace(MISSING.encode(), b"s" * 64))
        for message in (_request(WORST * 128), present):
            progress = EventProgress("g", [message], platform)
            await worker.handle(Delivery("g", [message], 1, progress))

    anyio.run(answer)
    return published.messages


def said(ids: Sequence[str]) -> Mapping[ProcessingEvent, Sequence[Message]]:
    """Return all that the modules can say of a batch, in the largest form of each."""
    messages = [*_of_bos(ids), *_of_els(ids), *_of_files(ids), *_of_the_checker(ids)]
    found: dict[ProcessingEvent, list[Message]] = {}
    for message in messages:
        found.setdefault(event_on(message.topic), []).append(message)
    return found


@settings(max_examples=10)
@given(st.integers(4, 128))
def test_what_a_registration_may_name_every_message_can(length: int) -> None:
    """As many essays as their ids leave room for: no message about them is too large, and one
    more is refused where the registration is decoded."""
    count = bisect_left(range(9_000), True, key=lambda n: not fit_one_event(_ids(n, length))) - 1
    found = said(_ids(count, length))

    assert set(found) == set(TOPICS)
    assert len(found[ProcessingEvent.BATCH_PHASE_CONCLUDED]) == 3
    assert len(found[ProcessingEvent.BATCH_READINESS_TIMEOUT]) == 3
    assert len(found[ProcessingEvent.BATCH_ESSAYS_READY]) == 1
    for message in (message for several in found.values() for message in several):
        assert len(message.value) <= EVENT_BYTES_MAX
        decode(message.topic, message.value)
    with pytest.raises(ValueError, match="too long for one event"):
        registered_message(*_batch(_ids(count + 1, length)), AT)


def test_the_largest_batch_that_may_be_configured_is_taken_and_can_be_said() -> None:
    """With ids of 128 characters; what is optional is left out where it does not fit."""
    ids = _ids(ESSAYS_PER_BATCH_MAX, 128)
    limits = Limits(essays_per_batch=ESSAYS_PER_BATCH_MAX)

    found = said(ids)

    assert registration_faults(body(essay_ids=ids), COURSES, limits) == []
    (ready,) = found[ProcessingEvent.BATCH_ESSAYS_READY]
    data = decode(ready.topic, ready.value).data
    assert isinstance(data, BatchEssaysReady)
    assert (data.ready_essay_ids, data.ready_essays) == (ids, None)
    late = found[ProcessingEvent.BATCH_READINESS_TIMEOUT][-1]
    timeout = decode(late.topic, late.value).data
    assert isinstance(timeout, BatchReadinessTimeout)
    assert (timeout.ready_essay_ids, timeout.ready_essays) == (ids, None)


def test_texts_are_named_where_they_fit() -> None:
    """A class of the default limit is announced with them, whatever its ids are."""
    (ready,) = els_says.batch_essays_ready(BATCH_ID, _references(_ids(1_000, 128)), None, AT)

    data = decode(ready.topic, ready.value).data
    assert isinstance(data, BatchEssaysReady)
    assert data.ready_essays is not None
    assert len(data.ready_essays) == 1_000


def test_a_larger_limit_stops_the_program_and_says_how_far_one_may_go() -> None:
    """Whoever asks for more essays than can be said of learns it at the start."""
    variable = {"HULEEDU_LIMITS_ESSAYS_PER_BATCH": str(ESSAYS_PER_BATCH_MAX + 1)}

    with pytest.raises(Misconfigured) as refused:
        load_settings({}, variable, None)

    told = str(refused.value)
    assert "limits.essays_per_batch" in told
    assert f"at most {ESSAYS_PER_BATCH_MAX:_}" in told


def test_a_foreign_registration_that_is_too_large_is_malformed() -> None:
    """Nothing could be said of it, so it is refused at once and not when it is complete."""
    ids = _ids(ESSAYS_PER_BATCH_MAX, 128)
    message = registered_message(*_batch(ids), AT)
    more = b"".join(b',"%s"' % one.encode() for one in _ids(ESSAYS_PER_BATCH_MAX * 2, 128)[-9:])
    value = message.value.replace(b'"],"metadata"', b'"' + more + b'],"metadata"')
    value = value.replace(
        b'count":%d' % ESSAYS_PER_BATCH_MAX, b'count":%d' % (ESSAYS_PER_BATCH_MAX + 9)
    )

    with pytest.raises(MalformedMessage, match="too long for one event"):
        decode(message.topic, value)
