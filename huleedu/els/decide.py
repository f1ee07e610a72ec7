"""The rules of ELS, without a clock, a store or a network: state and message in, state out.

The SQL in ``tracker`` loads only what a fetch names and must agree with these rules, whatever the
order, the repetition and the grouping of the messages.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from huleedu.core.enums import EssayStatus, RefusalReason
from huleedu.core.essay_state import StateTransitionValidator
from huleedu.els.model import (
    BatchView,
    Content,
    EssayView,
    ReadinessDecision,
    Refusal,
    Registration,
    Text,
)


def register(view: BatchView, registration: Registration) -> ReadinessDecision:
    """Open the batch; texts that came early are joined, those of other essays refused.

    A second registration changes nothing.
    """
    if view.registered is not None:
        return ReadinessDecision(view=view)
    registered = frozenset(registration.essay_ids)
    strangers = [essay_id for essay_id in view.slots if essay_id not in registered]
    slots = {essay_id: text for essay_id, text in view.slots.items() if essay_id in registered}
    ready = len(slots) == len(registered)
    return ReadinessDecision(
        view=replace(view, registered=registered, slots=slots, filled=len(slots), ready=ready),
        refused=[
            Refusal(view.batch_id, essay_id, view.slots[essay_id], RefusalReason.NOT_REGISTERED)
            for essay_id in strangers
        ],
        dropped=strangers,
        became_ready=ready,
    )


def take(view: BatchView, contents: Sequence[Content]) -> ReadinessDecision:
    """Fill slots in the order of the messages; the text that fills the last one makes it ready.

    Before the registration every text is kept.  Afterwards the last text of a slot counts until
    the batch is ready; the text that the slot holds already changes nothing at any time.
    """
    slots = dict(view.slots)
    filled, ready = view.filled, view.ready
    kept: dict[str, Text] = {}
    refused: list[Refusal] = []
    for content in contents:
        essay_id, storage_id = content.essay_id, content.text.storage_id
        if view.registered is not None:
            if essay_id not in view.registered:
                refused.append(_refusal(content, RefusalReason.NOT_REGISTERED))
                continue
            if ready:
                if slots.get(essay_id) != storage_id:
                    refused.append(_refusal(content, RefusalReason.BATCH_READY))
                continue
            if essay_id not in slots:
                filled += 1
                ready = filled == len(view.registered)
        if slots.get(essay_id) != storage_id:
            slots[essay_id] = storage_id
            kept[essay_id] = content.text
    return ReadinessDecision(
        view=replace(view, slots=slots, filled=filled, ready=ready),
        kept=kept,
        refused=refused,
        became_ready=ready and not view.ready,
    )


def _refusal(content: Content, reason: RefusalReason) -> Refusal:
    return Refusal(content.batch_id, content.essay_id, content.text.storage_id, reason)


def accepts_command(batch_attempt: int, command_attempt: int) -> bool:
    """Tell whether a command opens a new attempt; a repeated or older one changes nothing."""
    return command_attempt > batch_attempt


def settles(essay: EssayView, result: EssayStatus, result_attempt: int | None) -> bool:
    """Tell whether a result moves the essay.

    One of an older attempt does not; one without an attempt (a foreign checker) counts for the
    current one.
    """
    if result_attempt is not None and result_attempt != essay.attempt:
        return False
    return StateTransitionValidator.is_legal(essay.status, result)
