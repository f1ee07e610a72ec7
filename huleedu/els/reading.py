"""Messages as the values that the decisions of ELS look at."""

import re
from datetime import datetime, timedelta

from huleedu.core.enums import ContentType, EssayStatus
from huleedu.core.errors import MalformedMessage
from huleedu.core.message import Header
from huleedu.core.messages import (
    READINESS_TIMEOUT_MAX,
    READINESS_TIMEOUT_MIN,
    BatchCancelled,
    BatchEssaysRegistered,
    BatchReadinessExtended,
    BatchServiceSpellcheckInitiateCommandDataV1,
    EssayContentReady,
    SpellcheckResultDataV1,
)
from huleedu.els.model import Content, Registration, Text
from huleedu.els.phases import Command, Result
from huleedu.els.wishes import Cancellation, Extension, Wish
from huleedu.transport.consumer import Heard

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,15})?", re.ASCII)


def correlation_id_of(one: Heard) -> str | None:
    """Return the correlation id that a message came with, as text."""
    correlation_id = one.envelope.correlation_id
    return None if correlation_id is None else str(correlation_id)


def extension_in(one: Heard) -> Extension:
    """Return until when a batch is to wait."""
    data = one.data
    assert isinstance(data, BatchReadinessExtended)
    return Extension(data.batch_id, correlation_id_of(one), data.deadline)


def proceed_in(one: Heard) -> Wish:
    """Return which batch is to go on."""
    return Wish(one.batch_id, correlation_id_of(one))


def cancellation_in(one: Heard) -> Cancellation:
    """Return which batch is to stop, and why."""
    data = one.data
    assert isinstance(data, BatchCancelled)
    return Cancellation(data.batch_id, correlation_id_of(one), data.reason)


def _readiness_timeout(one: Heard) -> timedelta | None:
    """Return how long this batch waits, where its registration says so."""
    text = one.message.headers.get(Header.READINESS_TIMEOUT_SECONDS)
    if text is None:
        return None
    timeout = timedelta(seconds=float(text)) if _SECONDS.fullmatch(text) else timedelta()
    if not READINESS_TIMEOUT_MIN <= timeout <= READINESS_TIMEOUT_MAX:
        raise MalformedMessage(
            f"header {Header.READINESS_TIMEOUT_SECONDS} of batch {one.batch_id!r} is "
            f"{text[:40]!r}; seconds from 1 to {READINESS_TIMEOUT_MAX.total_seconds():,.0f} "
            "are meant"
        )
    return timeout


def registration_in(one: Heard, now: datetime, deadline: datetime) -> Registration:
    """Return a registration, with its ``deadline`` where it names no other from now.

    Raises ``MalformedMessage`` where its count, its ids or its time to wait do not fit.
    """
    data = one.data
    assert isinstance(data, BatchEssaysRegistered)
    if len(set(data.essay_ids)) != len(data.essay_ids):
        raise MalformedMessage(f"batch {data.batch_id!r} registers an essay id twice")
    if data.expected_essay_count != len(data.essay_ids):
        raise MalformedMessage(
            f"batch {data.batch_id!r} expects {data.expected_essay_count} essays "
            f"and names {len(data.essay_ids)}"
        )
    timeout = _readiness_timeout(one)
    return Registration(data.batch_id, data.essay_ids, now + timeout if timeout else deadline)


def content_in(one: Heard) -> Content:
    """Return an essay's text.  Raises ``MalformedMessage`` when none is named."""
    data = one.data
    assert isinstance(data, EssayContentReady)
    text = Text(data.text_storage_id, data.student_name, data.student_email, data.file_name)
    return Content(data.batch_id, data.essay_id, text)


def command_in(one: Heard) -> Command:
    """Return what is to be checked; without the header it is the first attempt."""
    data = one.data
    assert isinstance(data, BatchServiceSpellcheckInitiateCommandDataV1)
    essay_ids = [essay.essay_id for essay in data.essays_to_process]
    return Command(one.batch_id, essay_ids, data.language, one.attempt or 1)


def result_in(one: Heard) -> Result:
    """Return a checker's answer.  Raises ``MalformedMessage`` for a success without a text."""
    data = one.data
    assert isinstance(data, SpellcheckResultDataV1)
    corrected_storage_id = data.storage_id(ContentType.CORRECTED_TEXT)
    if data.status is EssayStatus.SPELLCHECKED_SUCCESS and corrected_storage_id is None:
        raise MalformedMessage(
            f"essay {data.essay_id!r} of batch {one.batch_id!r} is said to be checked, "
            "but no corrected text is named"
        )
    return Result(
        batch_id=one.batch_id,
        essay_id=data.essay_id,
        status=data.status,
        attempt=one.attempt,
        corrected_storage_id=corrected_storage_id,
        log_storage_id=data.storage_id(ContentType.PROCESSING_LOG),
    )
