"""Promises about a whole run: nothing accepted is lost, everything ends, all stores agree."""

import json
import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING

from huleedu.core.enums import BatchStatus, EssayStatus
from huleedu.core.messages import BatchEssaysReady, ELSBatchPhaseOutcomeV1
from huleedu.files.model import FileOutcome
from huleedu.results import handlers as results_handlers
from huleedu.results.views import view
from huleedu.transport.consumer import hear
from tests.simulation.promises import Violation, judged

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
    if not world.is_settled():
        raise Violation(f"still under way: {world.unsettled()}")


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
def every_batch_ends(world: "World") -> None:
    """A batch whose essays all came is ready and concluded; one that lacks essays is not ready."""
    ready = {one.key for one in world.log.of(BatchEssaysReady)}
    outcomes = {one.key for one in world.log.of(ELSBatchPhaseOutcomeV1)}
    for teacher in world.teachers:
        batch_id = teacher.answers.batch_id
        expected = not teacher.plan.missing
        if (batch_id in ready) != expected:
            raise Violation(f"{batch_id}: ready {batch_id in ready}, all essays came {expected}")
        if (batch_id in outcomes) != expected:
            raise Violation(f"{batch_id}: outcome {batch_id in outcomes}, expected {expected}")


@judged
def all_stores_tell_the_same(world: "World") -> None:
    """ELS, BOS and results tell the same of every batch, and it is what its texts make of it."""
    for teacher in world.teachers:
        _compare(world, teacher)


def _compare(world: "World", teacher: "Teacher") -> None:
    batch_id = teacher.answers.batch_id
    assert batch_id is not None
    essays = dict(
        world.reader("els").execute(
            "SELECT essay_id, status FROM essay WHERE batch_id = ?", (batch_id,)
        )
    )
    (status,) = (
        world.reader("bos")
        .execute("SELECT status FROM batch WHERE batch_id = ?", (batch_id,))
        .fetchone()
    )
    shown = view(world.reader("results"), batch_id, world.later())
    seen = {one.essay_id: one.status for one in shown.essays if one.status is not None}
    if seen != {essay_id: EssayStatus(one) for essay_id, one in essays.items()}:
        raise Violation(f"{batch_id}: ELS has {essays}, results shows {seen}")
    if shown.status != status:
        raise Violation(f"{batch_id}: BOS has {status}, results shows {shown.status}")
    wanted = _status_of(teacher, essays)
    if wanted != status:
        raise Violation(f"{batch_id}: BOS has {status}, the essays are {essays}")
    for essay_id, one in essays.items():
        text = world.text_of(batch_id, essay_id)
        failed = one == EssayStatus.SPELLCHECK_FAILED
        if wanted is not BatchStatus.AWAITING_CONTENT_VALIDATION and failed != text.is_uncheckable:
            raise Violation(f"{batch_id} {essay_id} is {one}, its text is {text}")


def _status_of(teacher: "Teacher", essays: dict[str, str]) -> BatchStatus:
    if teacher.plan.missing:
        return BatchStatus.AWAITING_CONTENT_VALIDATION
    good = sum(one == EssayStatus.SPELLCHECKED_SUCCESS for one in essays.values())
    if good == len(teacher.plan.essay_ids):
        return BatchStatus.COMPLETED_SUCCESSFULLY
    return BatchStatus.COMPLETED_WITH_FAILURES if good else BatchStatus.FAILED_CRITICALLY


@judged
def the_projection_is_a_fold(world: "World") -> None:
    """What results keeps is what one gets by reading everything that was said once, in order."""
    folded = world.empty_store("results")
    heard = [hear(message) for message in world.said_to_results()]
    results_handlers.apply(folded, heard, world.later())
    kept = world.reader("results")
    for table in _PROJECTION:
        once, there = _rows(folded, table), _rows(kept, table)
        if once != there:
            extra = [row for row in there if row not in once]
            lost = [row for row in once if row not in there]
            raise Violation(f"{table}: kept besides the fold {extra}, not kept {lost}")


_PROJECTION = ("batch", "essay", "essay_text", "essay_result", "progress_event")
_IN_THE_ORDER_OF_ARRIVAL = frozenset({"id", "data"})


def _rows(connection: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    """Return the rows of a table, each time only as there or not: a repeat has its own."""
    cursor = connection.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description]
    return sorted(_comparable(names, row) for row in cursor)


def _comparable(names: Iterable[str], row: Iterable[object]) -> tuple[object, ...]:
    return tuple(
        repr(bool(value)) if name.endswith("_at") else json.dumps(value)
        for name, value in zip(names, row, strict=True)
        if name not in _IN_THE_ORDER_OF_ARRIVAL
    )
