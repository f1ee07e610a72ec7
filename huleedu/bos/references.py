"""Where the texts of a ready batch are: in the event, or, of a foreign sender, asked of ELS."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from structlog.contextvars import bound_contextvars

from huleedu.core.enums import ProcessingEvent
from huleedu.core.errors import MalformedMessage, Rejected
from huleedu.core.logging import create_service_logger
from huleedu.core.messages import BatchEssaysReady, EssayProcessingInputRefV1
from huleedu.core.ports import EssayReferences
from huleedu.core.topics import topic_name
from huleedu.transport.consumer import Heard, hear
from huleedu.transport.protocol import Consumer, Delivery

References = Mapping[str, Sequence[EssayProcessingInputRefV1]]
"""Batch id → its essays that have a text, as ELS said."""

NO_REFERENCES: References = MappingProxyType({})
_ESSAYS_NAMED_MAX = 5

_logger = create_service_logger("bos")


class ReferencesMissing(Rejected):
    """The readiness of a batch names essays, but neither it nor ELS says where their texts are."""


class ReferenceSeeker:
    """Asks ELS for the references that a delivery lacks, and then has it handled.

    Asking takes a while and may fail, so that it has no place in the transaction of the effects.
    """

    def __init__(
        self, references: EssayReferences, knowing: Callable[[References], Consumer]
    ) -> None:
        """``knowing`` returns a consumer that has these references at hand."""
        self._references = references
        self._knowing = knowing
        self._consumer = knowing(NO_REFERENCES)

    async def handle(self, delivery: Delivery) -> None:
        """Handle the delivery.

        Raises ``Unavailable`` when ELS does not answer, ``NotFound`` when it does not know the
        batch, and what the consumer raises.
        """
        found: dict[str, Sequence[EssayProcessingInputRefV1]] = {}
        for heard in _without_references(delivery):
            batch_id, correlation_id = heard.batch_id, heard.envelope.correlation_id
            if batch_id not in found:
                # Bound, it goes along to ELS, whose log then joins the story.
                with bound_contextvars(correlation_id=correlation_id and str(correlation_id)):
                    found[batch_id] = await self._references.of_batch(batch_id)
                    _logger.info(
                        "references_asked_for", batch_id=batch_id, essays=len(found[batch_id])
                    )
        consumer = self._knowing(found) if found else self._consumer
        await consumer.handle(delivery)

    async def set_aside(self, delivery: Delivery, cause: Mapping[str, str]) -> None:
        """Make dead letters of the messages, as they came."""
        await self._consumer.set_aside(delivery, cause)


def references_in(
    data: BatchEssaysReady, references: References
) -> Sequence[EssayProcessingInputRefV1]:
    """Return the essays that are ready; from ``references`` where the event does not say.

    Raises ``ReferencesMissing``.
    """
    if data.ready_essays is None:
        return _as_named(data, references.get(data.batch_id, ()))
    return data.ready_essays


def _as_named(
    data: BatchEssaysReady, known: Sequence[EssayProcessingInputRefV1]
) -> Sequence[EssayProcessingInputRefV1]:
    by_id = {essay.essay_id: essay for essay in known}
    missing = [essay_id for essay_id in data.ready_essay_ids if essay_id not in by_id]
    if missing:
        raise ReferencesMissing(
            f"the readiness of batch {data.batch_id} came without ready_essays, and ELS does not "
            f"know the texts of {len(missing)} of its {len(data.ready_essay_ids)} essays "
            f"({', '.join(missing[:_ESSAYS_NAMED_MAX])})"
        )
    return [by_id[essay_id] for essay_id in data.ready_essay_ids]


def _without_references(delivery: Delivery) -> Iterator[Heard]:
    topic = topic_name(ProcessingEvent.BATCH_ESSAYS_READY)
    for message in delivery.messages:
        if message.topic != topic:
            continue
        try:
            heard = hear(message)
        except MalformedMessage:
            continue  # the consumer sets it aside, with its cause
        if isinstance(heard.data, BatchEssaysReady) and _lacks_references(heard.data):
            yield heard


def _lacks_references(data: BatchEssaysReady) -> bool:
    return data.ready_essays is None and bool(data.ready_essay_ids)
