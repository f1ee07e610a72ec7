"""Promises about a whole run: nothing accepted is lost, everything ends, all stores agree."""

from collections import Counter
from typing import TYPE_CHECKING

from huleedu.bos.stalls import OPEN, timing_at
from huleedu.bos.views import find_batch
from huleedu.core.enums import BatchStatus, EssayStatus, ProcessingEvent
from huleedu.core.errors import NotFound
from huleedu.core.essay_state import TERMINAL
from huleedu.core.ids import derived_event_id
from huleedu.core.messages import BatchEssaysReady, BatchReadinessTimeout, ELSBatchPhaseOutcomeV1
from huleedu.core.topics import DEAD_LETTER_SUFFIX
from huleedu.els.deadlines import STOOD_STILL
from huleedu.files.model import FileOutcome
from huleedu.results.views import view
from tests.simulation.promises import Violation, judged
from tests.simulation.surroundings import MOODY, UNCHECKABLE
from tests.simulation.workload import Wish

if TYPE_CHECKING:
    from tests.simulation.workload import Teacher
    from tests.simulation.world import World

_TAKEN = frozenset({FileOutcome.ASSIGNED, FileOutcome.REPLACED, FileOutcome.UNCHANGED})


@judged
def everything_comes_to_rest(world: "World") -> None:
    """Once faults stop, everybody is answered and every message is handled, in bounded time."""
    late = [f"batch {t.plan.number}" for t in world.teachers if not t.answers.is_done]
    if late:
        raise Violation(f"the teachers of {', '.join(late)} still wait")
    if under_way := world.unsettled():
        raise Violation(f"still under way: {under_way}")


@judged
def others_go_on(world: "World") -> None:
    """While one group is away or stopped, all others handle everything and end their work."""
    if world.held_up:
        raise Violation(f"still under way without it: {world.held_up}")


@judged
def nobody_dies(world: "World") -> None:
    """A process ends only when it is told to, and nothing is raised where nobody hears it."""
    if world.deaths:
        raise Violation(f"a process ended by {world.deaths[0]!r}")
    if world.loop.unhandled:
        raise Violation(f"nobody heard of {world.loop.unhandled[0]}")


@judged
def what_was_answered_is_kept(world: "World") -> None:
    """What an answer said is in the store, whatever crashed since; each keyed request once."""
    bos, files = world.reader("bos"), world.reader("files")
    kept = [row[0] for row in bos.execute("SELECT batch_id FROM batch")]
    told = [teacher.answers.batch_id for teacher in world.teachers]
    if sorted(kept) != sorted(one for one in told if one is not None):
        raise Violation(f"registered are {kept}, answered was {told}")
    for teacher in world.teachers:
        batch_id = teacher.answers.batch_id
        texts = {
            row[0]
            for row in files.execute("SELECT essay_id FROM file WHERE batch_id = ?", (batch_id,))
        }
        for receipt in teacher.answers.receipts:
            if receipt.outcome in _TAKEN and receipt.essay_id not in texts:
                raise Violation(f"{receipt} was answered, files has {texts} of {batch_id}")


@judged
def actions_are_kept(world: "World") -> None:
    """An action that was accepted is in the batch: one attempt more, cancelled, told to go on."""
    for teacher in world.teachers:
        row = (
            world.reader("bos")
            .execute(
                "SELECT status, attempt, proceed_requested_at FROM batch WHERE batch_id = ?",
                (teacher.answers.batch_id,),
            )
            .fetchone()
        )
        granted = teacher.answers.granted
        if (
            (row[0] == BatchStatus.CANCELLED) != (Wish.CANCEL in granted)
            or row[1] != 1 + granted.count(Wish.RETRY)
            or (row[2] is not None) != (Wish.PROCEED in granted)
        ):
            raise Violation(f"{teacher.answers.batch_id}: accepted were {granted}, BOS has {row}")


@judged
def what_cannot_be_read_is_kept(world: "World") -> None:
    """A message that cannot be read is a dead letter of every group that hears it, lost in none."""
    topics = {one.message.topic for one in world.log.said if one.data is None}
    groups = {group for _, group in world.set_aside}
    for topic in topics:
        origin = topic.removesuffix(DEAD_LETTER_SUFFIX)
        hearing = {group for group, heard in world.heard.items() if origin in heard}
        if groups != hearing:
            raise Violation(
                f"{origin} is heard by {sorted(hearing)}, set aside by {sorted(groups)}"
            )
    if world.poison and not topics:
        raise Violation("what the stranger said is nowhere")


@judged
def every_batch_ends(world: "World") -> None:
    """A batch with all its essays, or told to proceed, is ready and concluded, once an attempt."""
    ready = Counter(one.key for one in world.log.of(BatchEssaysReady))
    outcomes = Counter(one.key for one in world.log.of(ELSBatchPhaseOutcomeV1))
    for teacher in world.teachers:
        batch_id, granted = teacher.answers.batch_id, teacher.answers.granted
        assert batch_id is not None
        if Wish.CANCEL in granted or batch_id == world.lasting.unanswered:
            continue
        expected = not teacher.plan.missing or Wish.PROCEED in granted
        if ready[batch_id] != expected:
            raise Violation(f"{batch_id}: ready {ready[batch_id]} times, expected {expected}")
        texts = any(one.ready_essay_ids for one in world.log.data(BatchEssaysReady, batch_id))
        attempts = 1 + granted.count(Wish.RETRY) if texts else 0
        if outcomes[batch_id] != attempts:
            raise Violation(f"{batch_id}: {outcomes[batch_id]} outcomes of {attempts} attempts")


@judged
def what_never_ends_is_told(world: "World") -> None:
    """A batch that BOS cannot go on with, since nobody tells where its texts are, is stalled."""
    batch_id = world.lasting.unanswered
    if batch_id is None:
        return
    shown = find_batch(world.reader("bos"), batch_id, timing_at(world.later(), world.settings))
    if shown is None or (
        shown.status in OPEN and shown.stalled is None and shown.readiness.timed_out_at is None
    ):
        raise Violation(f"{batch_id} is not shown as stalled: {shown}")


@judged
def what_is_cancelled_stands_still(world: "World") -> None:
    """ELS knows of every cancellation that was accepted, and none of its essays is on its way."""
    for teacher in world.teachers:
        if Wish.CANCEL not in teacher.answers.granted:
            continue
        batch_id = teacher.answers.batch_id
        rows = world.reader("els").execute(
            "SELECT cancelled_at, essay_id, status FROM batch LEFT JOIN essay USING (batch_number)"
            " WHERE batch_id = ?",
            (batch_id,),
        )
        going_on = [
            row for row in rows if row[0] is None or (row[2] is not None and row[2] not in TERMINAL)
        ]
        if going_on:
            raise Violation(f"{batch_id} was cancelled, and ELS has {going_on}")


@judged
def deadlines_are_told(world: "World") -> None:
    """A batch that lacks essays at its deadline is told so, once, also when ELS was down then."""
    told = Counter(one.message.event_id for one in world.log.of(BatchReadinessTimeout))
    late = {one.key for one in world.log.of(BatchReadinessTimeout)}
    event = ProcessingEvent.BATCH_READINESS_TIMEOUT.value
    for batch_id, timed_out in world.reader("els").execute(
        "SELECT batch_id, timed_out FROM batch WHERE registered_at IS NOT NULL"
        " AND ready_at IS NULL AND cancelled_at IS NULL"
    ):
        is_told = timed_out is not None and batch_id in late
        # A deadline that a clock ahead of time let pass is not remembered under its own time.
        if is_told and not world.clock.has_jumped:
            is_told = told[str(derived_event_id(event, batch_id, timed_out))] == 1
        if not is_told:
            raise Violation(f"{batch_id} lacks essays, its last deadline is {timed_out}")


@judged
def all_stores_tell_the_same(world: "World") -> None:
    """ELS, BOS and results tell the same of every batch, and it is what its texts make of it."""
    for teacher in world.teachers:
        _compare(world, teacher)


def _compare(world: "World", teacher: "Teacher") -> None:
    batch_id = teacher.answers.batch_id
    assert batch_id is not None
    if batch_id == world.lasting.unanswered:
        return
    essays = _essays(world, batch_id)
    (status,) = (
        world.reader("bos")
        .execute("SELECT status FROM batch WHERE batch_id = ?", (batch_id,))
        .fetchone()
    )
    try:
        shown = view(world.reader("results"), batch_id, world.later())
    except NotFound as fault:
        raise Violation(f"results does not show {batch_id}") from fault
    if shown.status != status:
        raise Violation(f"{batch_id}: BOS has {status}, results shows {shown.status}")
    if Wish.CANCEL in teacher.answers.granted:
        return  # which of its essays were at an end before, each tells as it heard
    unsaid = [e.essay_id for e in shown.essays if e.status in _NEEDS_REASON and not e.error]
    if unsaid:
        raise Violation(f"{batch_id}: {unsaid} failed, and results does not show why")
    seen = {one.essay_id: one.status for one in shown.essays if one.status not in _WITHOUT_TEXT}
    if seen != essays:
        raise Violation(f"{batch_id}: ELS has {essays}, results shows {seen}")
    wanted = _status_of(teacher, essays)
    if wanted != status:
        raise Violation(f"{batch_id}: BOS has {status}, the essays are {essays}")


HURRIED_SECONDS = 60.0
_NEEDS_REASON = frozenset({EssayStatus.SPELLCHECK_FAILED})
_WITHOUT_TEXT = frozenset({None, EssayStatus.CONTENT_INGESTION_FAILED})


def _essays(world: "World", batch_id: str) -> dict[str, EssayStatus]:
    """Return the essays with a text.  Raises ``Violation`` where it is not what they deserve."""
    found: dict[str, EssayStatus] = {}
    for essay_id, status, storage_id, failure in world.reader("els").execute(
        "SELECT essay_id, status, text_storage_id, failure FROM essay_of_batch WHERE batch_id = ?",
        (batch_id,),
    ):
        found[essay_id] = EssayStatus(status)
        text = world.text_of(storage_id)
        is_damaged = storage_id == world.lasting.damaged
        is_good = UNCHECKABLE not in text and MOODY not in text and not is_damaged
        if found[essay_id] is EssayStatus.SPELLCHECKED_SUCCESS and UNCHECKABLE in text:
            raise Violation(f"{batch_id} {essay_id} is {status}, its text is {text}")
        failed = found[essay_id] is EssayStatus.SPELLCHECK_FAILED
        # In a phase this short the checker may give up on a text that it cannot get or put away.
        is_hurried = world.settings.els.phase_timeout_seconds < HURRIED_SECONDS
        if failed and is_good and failure != STOOD_STILL and not is_hurried:
            raise Violation(f"{batch_id} {essay_id} is {status}, its text is {text}")
    return found


def _status_of(teacher: "Teacher", essays: dict[str, EssayStatus]) -> BatchStatus:
    if teacher.plan.missing and Wish.PROCEED not in teacher.answers.granted:
        return BatchStatus.AWAITING_CONTENT_VALIDATION
    if not essays:
        return BatchStatus.CONTENT_INGESTION_FAILED
    good = sum(one is EssayStatus.SPELLCHECKED_SUCCESS for one in essays.values())
    if good == len(teacher.plan.essay_ids):
        return BatchStatus.COMPLETED_SUCCESSFULLY
    return BatchStatus.COMPLETED_WITH_FAILURES if good else BatchStatus.FAILED_CRITICALLY
