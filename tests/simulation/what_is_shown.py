"""What results must show of a batch, worked out from what was said by a model of its own.

The model knows nothing of how results keeps what it hears: it takes all messages about a batch at
once, in no order, and says what a teacher must see when nothing is under way any more.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from huleedu.core.clock import to_text
from huleedu.core.enums import (
    BatchStatus,
    EssayStatus,
    PipelineExecutionStatus,
    ProcessingEvent,
)
from huleedu.core.messages import (
    BatchCancelled,
    BatchEssaysReady,
    BatchEssaysRegistered,
    BatchProceedRequested,
    BatchReadinessExtended,
    BatchReadinessTimeout,
    ELSBatchPhaseOutcomeV1,
    EssayContentReady,
    EssayContentRefused,
    EssayLifecycleSpellcheckRequestV1,
)
from huleedu.core.topics import topic_name
from huleedu.results.model import BatchView, EssayView
from huleedu.results.views import view
from huleedu.transport.consumer import Heard, hear
from tests.simulation.projection import said_to_results
from tests.simulation.promises import Violation, judged
from tests.simulation.surroundings import MISSPELT, MOODY

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

_STATUS = {
    PipelineExecutionStatus.COMPLETED_SUCCESSFULLY: BatchStatus.COMPLETED_SUCCESSFULLY,
    PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS: BatchStatus.COMPLETED_WITH_FAILURES,
    PipelineExecutionStatus.FAILED: BatchStatus.FAILED_CRITICALLY,
}


class ShownEssay(NamedTuple):
    """What is to be seen of an essay."""

    essay_id: str
    status: EssayStatus | None
    attempt: int
    original: str | None
    corrected: str | None
    corrections: int | None


class ShownBatch(NamedTuple):
    """What is to be seen of a batch."""

    status: BatchStatus
    attempt: int
    deadline: str | None
    timed_out_at: str | None
    proceeded_at: str | None
    refused: Sequence[tuple[str, str, str]]
    essays: Sequence[ShownEssay]
    """Of a cancelled batch none: which were at an end before, each tells as it heard."""


class Messages:
    """All that was said about one batch."""

    def __init__(self, heard: Iterable[Heard]) -> None:
        self._heard = list({one.message.event_id: one for one in heard}.values())

    def of(self, kind: type[T]) -> list[T]:
        """Return what was said of one kind, by the time at which it was said."""
        return [data for _, data in sorted(self._dated(kind), key=lambda pair: pair[0])]

    def last_said(self, kind: type[T]) -> str | None:
        """Return when a message of this kind was said last."""
        return max((when[0] for when, _ in self._dated(kind)), default=None)

    def by_attempt(self, kind: type[T]) -> Mapping[int, T]:
        """Return what was said of one kind in each attempt."""
        return {one.attempt or 1: one.data for one in self._heard if isinstance(one.data, kind)}

    def requested(self) -> Mapping[str, int]:
        """Return the newest attempt in which the check of each essay was asked for."""
        newest: dict[str, int] = {}
        for one in self._heard:
            if isinstance(one.data, EssayLifecycleSpellcheckRequestV1):
                essay_id = one.data.essay_id
                newest[essay_id] = max(newest.get(essay_id, 0), one.attempt or 1)
        return newest

    def _dated(self, kind: type[T]) -> list[tuple[tuple[str, str], T]]:
        return [
            ((to_text(one.envelope.event_timestamp), one.message.event_id), one.data)
            for one in self._heard
            if isinstance(one.data, kind)
        ]


def model(messages: Messages, text_of: Callable[[str], str]) -> ShownBatch:
    """Return what results must show when nothing about the batch is under way."""
    outcomes = messages.by_attempt(ELSBatchPhaseOutcomeV1)
    requested = messages.requested()
    reasons: dict[tuple[str, str], str] = {}
    for one in messages.of(EssayContentRefused):
        place = (one.essay_id, one.storage_id)
        reasons[place] = min(reasons.get(place, one.reason.value), one.reason.value)
    deadlines = [one.deadline for one in messages.of(BatchReadinessExtended)]
    is_cancelled = bool(messages.of(BatchCancelled))
    return ShownBatch(
        status=BatchStatus.CANCELLED if is_cancelled else _status(messages, outcomes),
        attempt=max([0, *outcomes, *requested.values()]),
        deadline=to_text(deadlines[-1]) if deadlines else None,
        timed_out_at=messages.last_said(BatchReadinessTimeout),
        proceeded_at=messages.last_said(BatchProceedRequested),
        refused=sorted((essay, text, why) for (essay, text), why in reasons.items()),
        essays=() if is_cancelled else _essays(messages, outcomes, reasons, text_of),
    )


def _status(messages: Messages, outcomes: Mapping[int, ELSBatchPhaseOutcomeV1]) -> BatchStatus:
    if outcomes:
        return _STATUS[outcomes[max(outcomes)].phase_status]
    ready = messages.of(BatchEssaysReady)
    if not ready:
        return BatchStatus.AWAITING_CONTENT_VALIDATION
    if ready[0].ready_essay_ids:
        return BatchStatus.READY_FOR_PIPELINE_EXECUTION
    return BatchStatus.CONTENT_INGESTION_FAILED


def _essays(
    messages: Messages,
    outcomes: Mapping[int, ELSBatchPhaseOutcomeV1],
    refused: Mapping[tuple[str, str], str],
    text_of: Callable[[str], str],
) -> Sequence[ShownEssay]:
    taken = {
        one.essay_id: one.text_storage_id
        for one in messages.of(EssayContentReady)
        if (one.essay_id, one.text_storage_id) not in refused
    }
    announced = messages.of(BatchEssaysReady)
    ready: dict[str, str] = {}
    if announced:
        ready = {one.essay_id: one.text_storage_id for one in announced[0].ready_essays or ()}
    outcome = outcomes[max(outcomes)] if outcomes else None
    processed = (
        {one.essay_id: one.text_storage_id for one in outcome.processed_essays} if outcome else {}
    )
    requested = messages.requested()
    shown = []
    for essay_id in messages.of(BatchEssaysRegistered)[0].essay_ids:
        original = ready.get(essay_id) or taken.get(essay_id)
        corrected = processed.get(essay_id)
        if announced and essay_id not in ready:
            status: EssayStatus | None = EssayStatus.CONTENT_INGESTION_FAILED
        elif outcome is not None:
            status = EssayStatus.SPELLCHECK_FAILED
            if corrected is not None:
                status = EssayStatus.SPELLCHECKED_SUCCESS
        else:
            status = EssayStatus.READY_FOR_PROCESSING if original else None
        corrections = None
        if original is not None and MOODY in text_of(original):
            corrected = None  # its checker may answer twice, and who hears which answer differs
        if corrected is not None and original is not None:
            corrections = text_of(original).count(MISSPELT)
        shown.append(
            ShownEssay(
                essay_id, status, requested.get(essay_id, 0), original, corrected, corrections
            )
        )
    return shown


@judged
def results_show_what_was_said(world: "World") -> None:
    """Results shows what a model of its own makes of all that was said, in no order."""
    about: dict[str, list[Heard]] = defaultdict(list)
    for message in said_to_results(world):
        heard = hear(message)
        about[heard.batch_id].append(heard)
    for batch_id, several in about.items():
        messages = Messages(several)
        if not messages.of(BatchEssaysRegistered):
            raise Violation(f"{batch_id} was never said to be registered")
        expected = model(messages, world.text_of)
        found = _found(view(world.reader("results"), batch_id, world.later()), world.text_of)
        if expected != found:
            raise Violation(f"{batch_id}: {_difference(expected, found)}")


@judged
def what_was_said_is_in_the_story(world: "World") -> None:
    """Each event that was said about a batch is one line of its story, and no line has two.

    But a text may be announced again after another one: that is no news.
    """
    said = {message.event_id: message for message in said_to_results(world)}
    told = set()
    for event_id, kind, batch_id, others in world.reader("results").execute(
        "SELECT event_id, event_type, batch_id, other_events FROM progress_event"
    ):
        told.add(event_id)
        if event_id not in said:
            raise Violation(f"{kind} of {batch_id} was never said")
        if others and kind != _MAY_COME_AGAIN.value:
            raise Violation(f"{kind} of {batch_id} is one line for {1 + others} events")
    if world.has_jumped_days:
        return  # lines of long ago are forgotten
    for event_id, message in said.items():
        if event_id not in told and message.topic != topic_name(_MAY_COME_AGAIN):
            raise Violation(f"{message.topic} of {message.key.decode()} is not in the story")


_MAY_COME_AGAIN = ProcessingEvent.ESSAY_CONTENT_READY


def _found(batch: BatchView, text_of: Callable[[str], str]) -> ShownBatch:
    is_cancelled = batch.status is BatchStatus.CANCELLED
    return ShownBatch(
        status=batch.status,
        attempt=batch.attempt,
        deadline=batch.deadline,
        timed_out_at=batch.timed_out_at,
        proceeded_at=batch.proceeded_at,
        refused=[(one.essay_id, one.storage_id, one.reason.value) for one in batch.refused_texts],
        essays=() if is_cancelled else [_found_essay(one, text_of) for one in batch.essays],
    )


def _found_essay(essay: EssayView, text_of: Callable[[str], str]) -> ShownEssay:
    original = essay.original_storage_id
    is_moody = original is not None and MOODY in text_of(original)
    return ShownEssay(
        essay_id=essay.essay_id,
        status=essay.status,
        attempt=essay.attempt,
        original=essay.original_storage_id,
        corrected=None if is_moody else essay.corrected_storage_id,
        corrections=None if is_moody else essay.corrections_made,
    )


def _difference(expected: ShownBatch, found: ShownBatch) -> str:
    parts: list[tuple[str, Any, Any]] = list(zip(expected._fields, expected, found, strict=True))
    return ", ".join(
        f"{name}: {said} was said, {shown} is shown" for name, said, shown in parts if said != shown
    )
