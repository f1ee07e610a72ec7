"""What the spell-checker hears: one request, one answer, and no state of its own.

The answer's id follows from the request's, so that a repeat is recognised by whoever hears it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from structlog.contextvars import bound_contextvars

from huleedu.core.enums import (
    ContentType,
    EssayStatus,
    ProcessingEvent,
    ProcessingStage,
)
from huleedu.core.errors import HuleEduError, MalformedMessage, NotFound, TooLarge, Unavailable
from huleedu.core.ids import StorageId, derived_event_id
from huleedu.core.logging import create_service_logger
from huleedu.core.message import Header, Message, event_message
from huleedu.core.messages import (
    EssayLifecycleSpellcheckRequestV1,
    SpellcheckResultDataV1,
    StorageReference,
    StorageReferenceMetadata,
    essay_reference,
    metadata_of,
)
from huleedu.core.metrics import SPELLCHECK_ESSAYS, SPELLCHECK_SECONDS
from huleedu.core.platform import Platform
from huleedu.core.ports import Cancellations, ContentClient
from huleedu.core.settings import SpellcheckSettings
from huleedu.core.topics import topic_name
from huleedu.spellcheck.cancelled import CancelledBatches
from huleedu.spellcheck.errors import CheckFailed
from huleedu.spellcheck.log import processing_log
from huleedu.spellcheck.patience import is_over
from huleedu.spellcheck.protocol import TextChecker
from huleedu.transport.consumer import Heard, hear
from huleedu.transport.failures import dead_letter, longest_pause_seconds
from huleedu.transport.protocol import Delivery, Subscription, Transport
from huleedu.transport.replays import is_for

SOURCE_SERVICE = "spell-checker-service"

_logger = create_service_logger("spellcheck")


def subscriptions(
    transport: Transport,
    checker: TextChecker,
    content: ContentClient,
    platform: Platform,
    settings: SpellcheckSettings,
    concurrency: int,
    cancellations: Cancellations | None = None,
) -> Sequence[Subscription]:
    """Return what the spell-checker listens to; ``concurrency`` essays are checked at once.

    What is requested of a batch that is among the ``cancellations`` is dropped.
    """
    return [
        Subscription(
            group=settings.consumer_group or "",
            topics=[topic_name(ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED)],
            consumer=SpellcheckWorker(transport, checker, content, platform, cancellations),
            batch_max=1,
            concurrency=concurrency,
        )
    ]


@dataclass(frozen=True)
class _Request:
    """A request that can be answered: it says which essay of which batch."""

    heard: Heard
    data: EssayLifecycleSpellcheckRequestV1
    batch_id: str

    @property
    def fields(self) -> dict[str, str | None]:
        """The fields by which a log line is joined to the batch's story."""
        correlation_id = self.heard.envelope.correlation_id
        return {
            "event_type": self.heard.envelope.event_type,
            "event_id": str(self.heard.envelope.event_id),
            "correlation_id": None if correlation_id is None else str(correlation_id),
            "batch_id": self.batch_id,
            "essay_id": self.data.essay_id,
        }


class SpellcheckWorker:
    """Checks essays and publishes what became of them, before it acknowledges the request."""

    def __init__(
        self,
        transport: Transport,
        checker: TextChecker,
        content: ContentClient,
        platform: Platform,
        cancellations: Cancellations | None = None,
    ) -> None:
        self._cancelled = (
            None if cancellations is None else CancelledBatches(cancellations, platform.clock)
        )
        self._transport = transport
        self._checker = checker
        self._content = content
        self._platform = platform

    async def handle(self, delivery: Delivery) -> None:
        """Answer each request but those of cancelled batches, of which ELS waits for no result.

        Raises ``Unavailable`` when the content store does not answer: until so much time has gone
        by that the next attempt might come after the phase is given up.  Then the request is
        answered as failed, for that reason.
        """
        for message in delivery.messages:
            if not is_for(message, delivery.group):
                continue
            request = _request(message)
            if self._cancelled is not None and await self._cancelled.has(request.batch_id):
                SPELLCHECK_ESSAYS.labels(request.data.language.value, "cancelled").inc()
                _logger.info("essay_not_needed", **request.fields)
                continue
            # Bound, it goes along to the content store, whose log then joins the story.
            with bound_contextvars(correlation_id=request.fields["correlation_id"]):
                await self._transport.publish([await self._answer(request, delivery)])

    async def set_aside(self, delivery: Delivery, cause: Mapping[str, str]) -> None:
        """Make dead letters of the requests; those that say for which essay are answered too."""
        for message in delivery.messages:
            messages = [dead_letter(message, cause)]
            try:
                request = _request(message)
            except MalformedMessage as fault:
                _logger.warning("request_unanswerable", error=str(fault))
            else:
                messages.append(self._failed(request, "the checker could not work on this essay"))
            await self._transport.publish(messages)

    async def _answer(self, request: _Request, delivery: Delivery) -> Message:
        language = request.data.language
        started = self._platform.clock.monotonic()
        try:
            answer = await self._check(request)
        except (CheckFailed, NotFound, TooLarge, Unavailable) as fault:
            pause = longest_pause_seconds(delivery.attempt)
            if isinstance(fault, Unavailable) and not is_over(
                request.heard.message, delivery.waited_seconds, pause
            ):
                raise
            SPELLCHECK_ESSAYS.labels(language.value, "failed").inc()
            _logger.warning("essay_not_checked", error=str(fault), **request.fields)
            return self._failed(request, str(fault), fault)
        SPELLCHECK_ESSAYS.labels(language.value, "checked").inc()
        SPELLCHECK_SECONDS.labels(language.value).observe(
            self._platform.clock.monotonic() - started
        )
        return answer

    async def _check(self, request: _Request) -> Message:
        original = await self._content.get(StorageId(request.data.text_storage_id))
        try:
            text = original.decode()
        except UnicodeDecodeError as error:
            raise CheckFailed(f"the stored text is no UTF-8: {error}") from error
        checked = await self._checker.check(text, request.data.language)
        log = processing_log(request.data.essay_id, request.data.language, checked)
        stored = {
            ContentType.CORRECTED_TEXT: await self._content.put(checked.corrected.encode()),
            ContentType.PROCESSING_LOG: await self._content.put(log),
        }
        corrections = sum(one.correction is not None for one in checked.corrections)
        _logger.info("essay_checked", corrections=corrections, **request.fields)
        references = {kind: StorageReference(storage_id=where) for kind, where in stored.items()}
        return self._result(
            request,
            EssayStatus.SPELLCHECKED_SUCCESS,
            stored=StorageReferenceMetadata(references=references),
            corrections=corrections,
        )

    def _failed(self, request: _Request, reason: str, fault: HuleEduError | None = None) -> Message:
        code = (fault or CheckFailed(reason)).code.value
        return self._result(
            request, EssayStatus.SPELLCHECK_FAILED, error={"code": code, "message": reason}
        )

    def _result(
        self,
        request: _Request,
        status: EssayStatus,
        *,
        stored: StorageReferenceMetadata | None = None,
        corrections: int | None = None,
        error: dict[str, str] | None = None,
    ) -> Message:
        event = ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED
        now = self._platform.clock.now()
        essay = essay_reference(request.batch_id, request.data.essay_id)
        stage = ProcessingStage.COMPLETED if error is None else ProcessingStage.FAILED
        data = SpellcheckResultDataV1(
            entity_ref=essay,
            timestamp=now,
            status=status,
            system_metadata=metadata_of(essay, event, now, stage, error),
            original_text_storage_id=request.data.text_storage_id,
            storage_metadata=stored,
            corrections_made=corrections,
        )
        return event_message(
            event,
            data,
            event_id=derived_event_id(event.value, str(request.heard.envelope.event_id)),
            at=now,
            source_service=SOURCE_SERVICE,
            correlation_id=request.heard.envelope.correlation_id,
            cause=request.heard.message,
            headers={Header.ATTEMPT: str(request.heard.attempt or 1)},
        )


def _request(message: Message) -> _Request:
    heard = hear(message)
    data = heard.data
    assert isinstance(data, EssayLifecycleSpellcheckRequestV1)
    return _Request(heard, data, heard.batch_id)
