"""What must hold, each promise a function: looked at after every commit, or at the end of a run."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from huleedu.core.enums import EssayStatus
from huleedu.core.essay_state import StateTransitionValidator
from huleedu.core.messages import (
    BatchEssaysReady,
    BatchProceedRequested,
    BatchReadinessTimeout,
    BatchServiceSpellcheckInitiateCommandDataV1,
    ELSBatchPhaseOutcomeV1,
    EssayContentRefused,
    EssayLifecycleSpellcheckRequestV1,
)
from huleedu.transport import replays
from tests.simulation.log import EssayRow, Rows, Said
from tests.simulation.stores import SimulatedConnection

if TYPE_CHECKING:
    from tests.simulation.world import World


class Broken(AssertionError):
    """A promise that does not hold."""

    def __init__(self, name: str, sentence: str, detail: str) -> None:
        super().__init__(f"{name}: {sentence}\n{detail}")
        self.promise = name
        self.sentence = sentence
        self.detail = detail

    def __reduce__(self) -> tuple[type["Broken"], tuple[str, str, str]]:
        return Broken, (self.promise, self.sentence, self.detail)


class Violation(Exception):
    """What is wrong, to be told under the name of the promise that it breaks."""


Watch = Callable[["World", str, sqlite3.Connection, Sequence[Said]], None]
"""Looks at a commit: which store, and what was said by it.  Raises ``Violation``."""
Verdict = Callable[["World"], None]
"""Looks at a whole run.  Raises ``Violation``."""

WATCHED: dict[str, Watch] = {}
JUDGED: dict[str, Verdict] = {}


def watched(watch: Watch) -> Watch:
    """Have a promise looked at after every commit."""
    WATCHED[watch.__name__] = watch
    return watch


def judged(verdict: Verdict) -> Verdict:
    """Have a promise looked at when a run is over."""
    JUDGED[verdict.__name__] = verdict
    return verdict


def broken(promise: Callable[..., object], fault: Violation) -> Broken:
    """Return the violation of a promise, named."""
    return Broken(promise.__name__, sentence_of(promise), str(fault))


def sentence_of(promise: Callable[..., object]) -> str:
    """Return what a promise says."""
    return " ".join((promise.__doc__ or "").split())


@watched
def one_event_each(
    world: "World", _store: str, _connection: sqlite3.Connection, new: Sequence[Said]
) -> None:
    """BatchEssaysReady once a batch; a command, outcome, request once an attempt; a timeout once a
    deadline.
    """
    for one in new:
        if isinstance(one.data, BatchProceedRequested):
            world.proceeded.add(one.key)
        if isinstance(one.data, BatchReadinessTimeout):
            cause = ("timeout", one.key, one.message.event_id, 0)
            if cause in world.once:
                raise Violation(f"a timeout of {one.key} was said twice for one deadline")
            world.once.add(cause)
        if isinstance(one.data, _ONCE):
            essay_id = getattr(one.data, "essay_id", "")
            cause = (type(one.data).__name__, one.data.batch_id or "", essay_id, one.attempt)
            if cause in world.once:
                raise Violation(f"{cause} was said a second time by {one.module}")
            world.once.add(cause)


_ONCE = (
    BatchEssaysReady,
    BatchServiceSpellcheckInitiateCommandDataV1,
    ELSBatchPhaseOutcomeV1,
    EssayLifecycleSpellcheckRequestV1,
)


@watched
def each_message_takes_effect_once(
    world: "World", store: str, connection: sqlite3.Connection, _new: Sequence[Said]
) -> None:
    """A message that comes again, whoever brings it, changes nothing more in any group's store."""
    assert isinstance(connection, SimulatedConnection)
    for effect in connection.effects:
        if effect.changes and world.log.taken.issuperset(effect.taken):
            changed = dict(effect.changes)
            raise Violation(f"{effect.taken[0]} came again and changed {changed} in {store}")
        world.log.taken.update(effect.taken)


@watched
def nothing_is_said_twice(
    world: "World", _store: str, _connection: sqlite3.Connection, new: Sequence[Said]
) -> None:
    """An event is said once: whatever comes again, no module says an event id a second time.

    But a text that is announced again is refused again, under the same id.
    """
    for one in new:
        if isinstance(one.data, EssayContentRefused):
            continue
        cause = (one.message.topic, one.message.event_id)
        if one.data is not None and cause in world.log.ids:
            raise Violation(f"{cause} was said a second time by {one.module}")
        world.log.ids.add(cause)


def what_fails_waits() -> None:
    """A delivery that failed comes again after a pause, and after longer and longer ones."""


@watched
def nothing_valid_is_a_dead_letter(
    world: "World", _store: str, _connection: sqlite3.Connection, new: Sequence[Said]
) -> None:
    """A message that is right never becomes a dead letter."""
    for one in new:
        if one.data is None and not world.is_poison(one.message):
            cause = {k: v for k, v in one.message.headers.items() if k.startswith("dead-letter-")}
            raise Violation(f"{one.module} set aside {one.message.topic} {one.key}: {cause}")


@watched
def one_dead_letter_each(
    world: "World", _store: str, _connection: sqlite3.Connection, new: Sequence[Said]
) -> None:
    """A message that cannot be read becomes one dead letter of each group that hears it."""
    for one in new:
        if one.data is None:
            cause = (one.message.event_id, one.message.headers.get(replays.GROUP, ""))
            if cause in world.set_aside:
                raise Violation(f"{cause} was set aside a second time")
            world.set_aside.add(cause)


@watched
def ready_as_registered(
    world: "World", _store: str, connection: sqlite3.Connection, new: Sequence[Said]
) -> None:
    """A batch is ready with all essays registered; after proceed with exactly those with a text."""
    for one in new:
        if not isinstance(one.data, BatchEssaysReady):
            continue
        batch_id = one.data.batch_id
        (listed,) = Rows(
            connection, "SELECT essay_ids FROM batch WHERE batch_id = ?", (batch_id,)
        ).fetchone()
        registered = json.loads(listed) if listed else []
        kept = dict(
            Rows(
                connection,
                "SELECT essay_id, text_storage_id FROM essay_of_batch"
                " WHERE batch_id = ? AND text_storage_id IS NOT NULL",
                (batch_id,),
            )
        )
        wanted = [essay_id for essay_id in registered if essay_id in kept]
        if wanted != registered and batch_id not in world.proceeded:
            missing = sorted(set(registered) - set(wanted))
            raise Violation(f"{batch_id} is said to be ready without {missing}")
        if one.data.ready_essay_ids != wanted:
            raise Violation(f"{batch_id}: ready {one.data.ready_essay_ids}, with texts {wanted}")
        told = {e.essay_id: e.text_storage_id for e in one.data.ready_essays or ()}
        if told != {essay_id: kept[essay_id] for essay_id in wanted}:
            raise Violation(f"{batch_id}: the texts told are {told}, kept are {kept}")


@watched
def legal_moves_only(
    world: "World", store: str, connection: sqlite3.Connection, _new: Sequence[Said]
) -> None:
    """An essay moves only as the contract allows, and keeps its text once it was asked for."""
    if store != "els":
        return
    known = world.log.essays
    for batch_id, essay_id, status, attempt, text in Rows(
        connection,
        "SELECT batch_id, essay_id, status, attempt, text_storage_id FROM essay_of_batch",
    ):
        before = known.get((batch_id, essay_id))
        now = EssayRow(status, attempt, text)
        if before is None or before == now:
            known[batch_id, essay_id] = now
            continue
        moved = before.status != status or before.attempt != attempt
        if moved and not _may_move(before, now):
            raise Violation(f"essay {essay_id} of {batch_id} went from {before} to {now}")
        if not moved and status != EssayStatus.READY_FOR_PROCESSING:
            raise Violation(f"essay {essay_id} of {batch_id} has another text: {before}, {now}")
        known[batch_id, essay_id] = now


def _may_move(before: EssayRow, now: EssayRow) -> bool:
    """Several moves may share one commit: then each of them must be legal."""
    if now.attempt < before.attempt:
        return False
    is_retried = now.attempt > before.attempt and before.status != _NEW
    return EssayStatus(now.status) in _reached(EssayStatus(before.status), is_retried)


@cache
def _reached(start: EssayStatus, is_retried: bool) -> frozenset[EssayStatus]:
    """Return what an essay may become; only in another attempt it is asked for again."""
    may_be_asked_for = is_retried or start is _NEW
    reached: set[EssayStatus] = set()
    sources = [start]
    while sources:
        source = sources.pop()
        for target in EssayStatus:
            if target in reached or not StateTransitionValidator.is_legal(source, target):
                continue
            if target is EssayStatus.AWAITING_SPELLCHECK and not may_be_asked_for:
                continue
            reached.add(target)
            sources.append(target)
    return frozenset(reached)


_NEW = EssayStatus.READY_FOR_PROCESSING


@watched
def essays_are_counted_right(
    _world: "World", store: str, connection: sqlite3.Connection, _new: Sequence[Said]
) -> None:
    """ELS counts each slot with a text once, and each essay without a result once."""
    if store != "els":
        return
    for batch_id, filled, pending, slots, waiting in Rows(
        connection,
        "SELECT b.batch_id, b.filled, b.pending,"
        " (SELECT count(*) FROM essay e WHERE e.batch_number = b.batch_number"
        "  AND e.text_storage_id IS NOT NULL"
        "  AND e.essay_id IN (SELECT value FROM json_each(b.essay_ids))),"
        " (SELECT count(*) FROM essay e WHERE e.batch_number = b.batch_number"
        "  AND e.status IN ('awaiting_spellcheck', 'spellchecking_in_progress'))"
        " FROM batch b WHERE b.essay_ids IS NOT NULL AND b.cancelled_at IS NULL",
    ):
        if filled != slots:
            raise Violation(f"{batch_id}: {filled} slots are counted as filled, {slots} are")
        if pending != waiting:
            raise Violation(f"{batch_id}: {pending} essays are counted as pending, {waiting} are")


@watched
def counts_add_up(
    _world: "World", store: str, connection: sqlite3.Connection, _new: Sequence[Said]
) -> None:
    """In the state of a pipeline, pending, successful and failed essays are all there are."""
    if store != "bos":
        return
    for batch_id, essay_count, state in Rows(
        connection, "SELECT batch_id, essay_count, pipelines FROM batch"
    ):
        detail = json.loads(state).get("spellcheck")
        if detail is None:
            continue
        counts = detail["essay_counts"]
        parts = (counts["pending_dispatch_or_processing"], counts["successful"], counts["failed"])
        if min(parts) < 0 or sum(parts) != counts["total"] or counts["total"] > essay_count:
            raise Violation(f"{batch_id} of {essay_count} essays: {counts}")
