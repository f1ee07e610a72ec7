"""The rules of ELS, without a clock, a store or a network: state and message in, state out.

The SQL in ``tracker`` loads only what a fetch names and must agree with these rules, whatever the
order, the repetition and the grouping of the messages.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from huleedu.core.enums import EssayStatus, RefusalReason
from huleedu.core.essay_state import StateTransitionValidator
from huleedu.els.model import (
    BatchTimes,
    BatchView,
    Content,
    EssayView,
    PhaseView,
    ReadinessDecision,
    Refusal,
    Registration,
    Text,
)

LEAP_MIN = timedelta(minutes=1)
"""A time further ahead of the clock than this was read from a clock that was wrong."""

REGISTERED_ALREADY = "it is registered already"
REGISTERED_OTHERWISE = "it is registered already, with other ids"


def register(view: BatchView, registration: Registration) -> ReadinessDecision:
    """Open the batch; texts that came early are joined, those of other essays refused.

    So are wishes that came early: a batch that was told to proceed is ready with what is there, a
    cancelled one never, and the deadline of an extension goes before the registration's own.
    A second registration changes nothing.
    """
    registered = frozenset(registration.essay_ids)
    if view.registered is not None:
        is_same = view.registered == registered
        skipped = REGISTERED_ALREADY if is_same else REGISTERED_OTHERWISE
        return ReadinessDecision(view=view, skipped=skipped)
    strangers = [essay_id for essay_id in view.slots if essay_id not in registered]
    slots = {essay_id: text for essay_id, text in view.slots.items() if essay_id in registered}
    complete = len(slots) == len(registered)
    ready = (complete or view.proceeding) and not view.cancelled
    return ReadinessDecision(
        view=replace(
            view,
            registered=registered,
            slots=slots,
            filled=len(slots),
            ready=ready,
            closed=ready and not complete,
            deadline=view.deadline or registration.deadline,
        ),
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
    the batch is ready.  A cancelled batch takes none.  The text that the slot holds already changes
    nothing at any time.
    """
    slots = dict(view.slots)
    filled, ready = view.filled, view.ready
    kept: dict[str, Text] = {}
    refused: list[Refusal] = []
    repeated: list[Content] = []
    for content in contents:
        essay_id, storage_id = content.essay_id, content.text.storage_id
        if view.registered is not None and essay_id not in view.registered:
            refused.append(_refusal(content, RefusalReason.NOT_REGISTERED))
        elif slots.get(essay_id) == storage_id:
            repeated.append(content)
        elif ready or view.cancelled:
            refused.append(_refusal(content, _why_over(view)))
        else:
            if view.registered is not None and essay_id not in slots:
                filled += 1
                ready = filled == len(view.registered)
            slots[essay_id] = storage_id
            kept[essay_id] = content.text
    return ReadinessDecision(
        view=replace(view, slots=slots, filled=filled, ready=ready),
        kept=kept,
        refused=refused,
        repeated=repeated,
        became_ready=ready and not view.ready,
    )


def _refusal(content: Content, reason: RefusalReason) -> Refusal:
    return Refusal(content.batch_id, content.essay_id, content.text.storage_id, reason)


def _why_over(view: BatchView) -> RefusalReason:
    if view.cancelled:
        return RefusalReason.BATCH_CANCELLED
    return RefusalReason.BATCH_CLOSED if view.closed else RefusalReason.BATCH_READY


def extend(view: BatchView, deadline: datetime) -> ReadinessDecision:
    """Have the batch wait until another moment; before the registration it is remembered.

    A deadline up to one that was told already is skipped: each is told once.
    """
    if skipped := _why_settled(view):
        return ReadinessDecision(view=view, skipped=skipped)
    if view.timed_out is not None and deadline <= view.timed_out:
        return ReadinessDecision(view=view, skipped="a later deadline has passed already")
    if deadline == view.deadline:
        return ReadinessDecision(view=view, skipped="this is its deadline already")
    return ReadinessDecision(view=replace(view, deadline=deadline))


def proceed(view: BatchView) -> ReadinessDecision:
    """Make the batch ready with the texts that are there; the missing essays fail.

    Before the registration it is remembered.
    """
    if skipped := _why_settled(view):
        return ReadinessDecision(view=view, skipped=skipped)
    if view.registered is None:
        again = "it was told so before" if view.proceeding else ""
        return ReadinessDecision(view=replace(view, proceeding=True), skipped=again)
    return ReadinessDecision(view=replace(view, ready=True, closed=True), became_ready=True)


def cancel(view: BatchView) -> ReadinessDecision:
    """Stop the batch for good, also where all that was commanded so far is over.

    BOS, which says so, knows of more: of a retry whose command may come later than its cancellation
    does.  For BOS it was not over, and is now.
    """
    if view.cancelled:
        return ReadinessDecision(view=view, skipped="the batch is cancelled already")
    return ReadinessDecision(view=replace(view, cancelled=True))


def _why_settled(view: BatchView) -> str:
    if view.cancelled:
        return "the batch is cancelled"
    return "the batch is ready already" if view.ready else ""


def time_out(view: BatchView, now: datetime) -> BatchView | None:
    """Return the batch after its missing essays are told, or None when that is not due.

    Nothing is closed by it, and each deadline is told once.
    """
    waits = view.registered is not None and not view.ready and not view.cancelled
    if not waits or view.deadline is None or view.deadline > now:
        return None
    return replace(view, deadline=None, timed_out=view.deadline)


def overdue(phases: Sequence[PhaseView], now: datetime, limit: timedelta) -> Sequence[str]:
    """Return the batches that wait although nothing moved for ``limit``.

    That is, neither they nor any batch dispatched before them, or at the same moment: those stand
    in front of them in the checkers' queue.  A time that lies ahead of the clock says nothing
    about what moves now.
    """
    moving = [
        phase.dispatched for phase in phases if now - limit < phase.progressed <= now + LEAP_MIN
    ]
    return [
        phase.batch_id
        for phase in phases
        if phase.waits and all(phase.dispatched < dispatched for dispatched in moving)
    ]


def brought_back(times: BatchTimes, now: datetime) -> BatchTimes:
    """Return the times of a batch after those that a wrong clock set ahead of ``now``.

    What happened then counts as having happened now, and a deadline is as far away as it was when
    it was set.  Times that are not more than ``LEAP_MIN`` ahead stay as they are.
    """

    def back(moment: datetime | None) -> datetime | None:
        return now if moment is not None and moment > now + LEAP_MIN else moment

    since, deadline = times.deadline_from or times.registered, times.deadline
    if since is not None and deadline is not None and since > now + LEAP_MIN:
        deadline -= since - now
    return BatchTimes(
        registered=back(times.registered),
        deadline=deadline,
        deadline_from=back(times.deadline_from),
        timed_out=back(times.timed_out),
        dispatched=back(times.dispatched),
        progressed=back(times.progressed),
    )


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


def is_progress(essay: EssayView, attempt: int) -> bool:
    """Tell whether an answer about this attempt shows that the checkers go on.

    Each essay's first answer of an attempt does, also where it moves nothing; what is repeated for
    ever puts off no deadline.
    """
    return essay.answered < attempt <= essay.attempt
