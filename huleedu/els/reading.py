"""Messages as the values that the decisions of ELS look at."""

from datetime import datetime

from huleedu.core.enums import ContentType
from huleedu.core.messages import (
    BatchCancelled,
    BatchEssaysRegistered,
    BatchProceedRequested,
    BatchReadinessExtended,
    BatchServiceSpellcheckInitiateCommandDataV1,
    EssayContentReady,
    SpellcheckResultDataV1,
)
from huleedu.els.model import Content, Registration, Text
from huleedu.els.phases import Command, Result
from huleedu.els.wishes import Cancellation, Extension, Wish
from huleedu.transport.consumer import Heard


def correlation_id_of(one: Heard) -> str | None:
    """Return the correlation id that a message came with, as text."""
    correlation_id = one.envelope.correlation_id
    return None if correlation_id is None else str(correlation_id)


def extension_in(one: Heard[BatchReadinessExtended]) -> Extension:
    """Return until when a batch is to wait."""
    data = one.data
    return Extension(data.batch_id, correlation_id_of(one), data.deadline)


def proceed_in(one: Heard[BatchProceedRequested]) -> Wish:
    """Return which batch is to go on."""
    return Wish(one.batch_id, correlation_id_of(one))


def cancellation_in(one: Heard[BatchCancelled]) -> Cancellation:
    """Return which batch is to stop, and why."""
    data = one.data
    return Cancellation(data.batch_id, correlation_id_of(one), data.reason)


def registration_in(
    one: Heard[BatchEssaysRegistered], now: datetime, deadline: datetime
) -> Registration:
    """Return a registration, with its ``deadline`` where it names no other from now."""
    data = one.data
    timeout = one.readiness_timeout
    return Registration(data.batch_id, data.essay_ids, now + timeout if timeout else deadline)


def content_in(one: Heard[EssayContentReady]) -> Content:
    """Return an essay's text."""
    data = one.data
    text = Text(data.text_storage_id, data.student_name, data.student_email, data.file_name)
    return Content(data.batch_id, data.essay_id, text)


def command_in(one: Heard[BatchServiceSpellcheckInitiateCommandDataV1]) -> Command:
    """Return what is to be checked; without the header it is the first attempt."""
    data = one.data
    essay_ids = [essay.essay_id for essay in data.essays_to_process]
    return Command(one.batch_id, essay_ids, data.language, one.attempt or 1)


def result_in(one: Heard[SpellcheckResultDataV1]) -> Result:
    """Return a checker's answer."""
    data = one.data
    return Result(
        batch_id=one.batch_id,
        essay_id=data.essay_id,
        status=data.status,
        attempt=one.attempt,
        corrected_storage_id=data.storage_id(ContentType.CORRECTED_TEXT),
        log_storage_id=data.storage_id(ContentType.PROCESSING_LOG),
    )
