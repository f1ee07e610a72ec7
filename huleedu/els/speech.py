"""The events that ELS says, built from its decisions."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from msgspec.structs import replace

from huleedu.core.enums import EssayStatus, ProcessingEvent, ProcessingStage
from huleedu.core.errors import TooLarge
from huleedu.core.ids import derived_event_id
from huleedu.core.message import Header, Message, event_message
from huleedu.core.messages import (
    BatchEssaysReady,
    BatchReadinessTimeout,
    ELSBatchPhaseOutcomeV1,
    EssayContentRefused,
    EssayLifecycleSpellcheckRequestV1,
    EssayProcessingInputRefV1,
    EventData,
    batch_reference,
    essay_reference,
    metadata_of,
)
from huleedu.els.deadlines import ReadinessTimeout
from huleedu.els.log import log_unsayable
from huleedu.els.model import Refusal
from huleedu.els.phases import Conclusion, Dispatch

SOURCE_SERVICE = "essay-lifecycle-service"

_Waiting = TypeVar("_Waiting", BatchEssaysReady, BatchReadinessTimeout)


def batch_essays_ready(
    batch_id: str,
    texts: Sequence[EssayProcessingInputRefV1],
    correlation_id: str | None,
    at: datetime,
) -> Sequence[Message]:
    """Every essay of the batch has its text, or it goes on with these."""
    event = ProcessingEvent.BATCH_ESSAYS_READY
    batch = batch_reference(batch_id)
    data = BatchEssaysReady(
        batch_id=batch_id,
        ready_essay_ids=[text.essay_id for text in texts],
        total_count=len(texts),
        batch_entity=batch,
        metadata=metadata_of(batch, event, at, ProcessingStage.COMPLETED),
        ready_essays=list(texts),
    )
    versions = [lambda: data, lambda: _without_texts(data)]
    return _of_all_essays(event, batch_id, versions, [batch_id], correlation_id, at)


def batch_readiness_timeout(
    timeout: ReadinessTimeout, correlation_id: str | None, at: datetime
) -> Sequence[Message]:
    """Essays are missing at this deadline of the batch."""
    event = ProcessingEvent.BATCH_READINESS_TIMEOUT
    data = BatchReadinessTimeout(
        batch_id=timeout.batch_id,
        ready_essay_ids=[text.essay_id for text in timeout.texts],
        missing_essay_ids=list(timeout.missing_essay_ids),
        expected_count=len(timeout.texts) + len(timeout.missing_essay_ids),
        actual_count=len(timeout.texts),
        timeout_duration_seconds=timeout.seconds,
        metadata=metadata_of(batch_reference(timeout.batch_id), event, at, ProcessingStage.PENDING),
        ready_essays=list(timeout.texts),
    )
    cause = [timeout.batch_id, timeout.deadline]
    versions = [lambda: data, lambda: _without_texts(data)]
    return _of_all_essays(event, timeout.batch_id, versions, cause, correlation_id, at)


def essay_content_refused(refusal: Refusal, correlation_id: str | None, at: datetime) -> Message:
    """The batch cannot take this text."""
    event = ProcessingEvent.ESSAY_CONTENT_REFUSED
    essay = essay_reference(refusal.batch_id, refusal.essay_id)
    data = EssayContentRefused(
        batch_id=refusal.batch_id,
        essay_id=refusal.essay_id,
        storage_id=refusal.storage_id,
        reason=refusal.reason,
        metadata=metadata_of(essay, event, at, ProcessingStage.FAILED),
    )
    cause = [refusal.batch_id, refusal.essay_id, refusal.storage_id, refusal.reason.value]
    return _message(event, data, cause, correlation_id, at)


def spellcheck_requested(
    dispatch: Dispatch,
    correlation_id: str | None,
    at: datetime,
    phase_timeout: timedelta = timedelta(minutes=15),
) -> Message:
    """This essay is to be checked; after ``phase_timeout`` without progress ELS gives it up."""
    event = ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED
    essay = essay_reference(dispatch.batch_id, dispatch.essay_id)
    data = EssayLifecycleSpellcheckRequestV1(
        entity_ref=essay,
        timestamp=at,
        status=EssayStatus.AWAITING_SPELLCHECK,
        system_metadata=metadata_of(essay, event, at, ProcessingStage.PENDING),
        text_storage_id=dispatch.text_storage_id,
        language=dispatch.language,
    )
    cause = [dispatch.batch_id, dispatch.essay_id]
    more: dict[str, str] = {Header.PHASE_TIMEOUT_SECONDS: f"{phase_timeout.total_seconds():g}"}
    return _message(event, data, cause, correlation_id, at, dispatch.attempt, more)


def phase_concluded(
    conclusion: Conclusion, correlation_id: str | None, at: datetime
) -> Sequence[Message]:
    """The phase is over for all essays of the batch."""
    event = ProcessingEvent.BATCH_PHASE_CONCLUDED
    batch = batch_reference(conclusion.batch_id)
    data = ELSBatchPhaseOutcomeV1(
        entity_ref=batch,
        timestamp=at,
        phase_status=conclusion.tally.phase_status,
        processed_essays=list(conclusion.processed),
        failed_essay_ids=list(conclusion.failed_essay_ids),
        system_metadata=metadata_of(batch, event, at, ProcessingStage.COMPLETED),
    )
    cause = [conclusion.batch_id]
    return _of_all_essays(
        event, conclusion.batch_id, [lambda: data], cause, correlation_id, at, conclusion.attempt
    )


def _of_all_essays(
    event: ProcessingEvent,
    batch_id: str,
    versions: Sequence[Callable[[], EventData]],
    cause: Sequence[str],
    correlation_id: str | None,
    at: datetime,
    attempt: int | None = None,
) -> Sequence[Message]:
    """Say the first of these versions, the fullest first, that is not too large for one event.

    A batch of which none can be said is set apart: nothing is said of it, which is logged, and
    what is said of others does not wait for it.  No batch that this program takes is as large.
    """
    for data in versions:
        with suppress(TooLarge):
            return [_message(event, data(), cause, correlation_id, at, attempt)]
    log_unsayable(event, batch_id, correlation_id)
    return []


def _without_texts(data: _Waiting) -> _Waiting:
    """Leave out what is optional: those who need the texts ask for them."""
    return replace(data, ready_essays=None)


def _message(
    event: ProcessingEvent,
    data: EventData,
    cause: Sequence[str],
    correlation_id: str | None,
    at: datetime,
    attempt: int | None = None,
    more: Mapping[str, str] | None = None,
) -> Message:
    repeat = [] if attempt is None else [str(attempt)]
    counted: dict[str, str] = {} if attempt is None else {Header.ATTEMPT: str(attempt)}
    return event_message(
        event,
        data,
        event_id=derived_event_id(event.value, *cause, *repeat),
        at=at,
        source_service=SOURCE_SERVICE,
        correlation_id=None if correlation_id is None else UUID(correlation_id),
        headers={**counted, **(more or {})},
    )
