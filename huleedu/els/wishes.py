"""What teachers want of a batch: wait longer, go on with what is there, stop.

A wish may overtake the registration of its batch: then it stands in the batch's row until that
comes, and ``decide.register`` looks at it.
"""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from huleedu.core.clock import moment_of, to_text
from huleedu.core.enums import EssayStatus
from huleedu.core.essay_state import StateTransitionValidator
from huleedu.els.decide import cancel, extend, proceed
from huleedu.els.model import BatchView, ReadinessDecision
from huleedu.els.store import json_list


class Wish(msgspec.Struct, frozen=True):
    """A wish about one batch; ``correlation_id`` is told until the registration tells its own."""

    batch_id: str
    correlation_id: str | None


class Extension(Wish, frozen=True):
    """Wait until this moment."""

    deadline: datetime


class Cancellation(Wish, frozen=True):
    """Stop; ``reason`` is what the essays are told."""

    reason: str | None


class Wishes:
    """Grants wishes or skips them, in the transaction that ``connection`` is in.

    Each method takes wishes in the order in which they were heard, and returns a decision for each.
    """

    def __init__(self, connection: sqlite3.Connection, now: datetime) -> None:
        self._connection = connection
        self._at = to_text(now)

    def extend(self, wishes: Sequence[Extension]) -> Sequence[ReadinessDecision]:
        """Set later deadlines, counted from now."""
        decisions = self._decide(wishes, lambda view, place: extend(view, wishes[place].deadline))
        self._connection.executemany(
            "INSERT INTO batch (batch_id, correlation_id, deadline_at, deadline_from)"
            " VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " deadline_at = excluded.deadline_at, deadline_from = excluded.deadline_from",
            [
                (wish.batch_id, wish.correlation_id, to_text(wish.deadline), self._at)
                for wish, decision in zip(wishes, decisions, strict=True)
                if not decision.skipped
            ],
        )
        return decisions

    def proceed(self, wishes: Sequence[Wish]) -> Sequence[ReadinessDecision]:
        """Make batches ready with what is there; essays without a text are failed by that."""
        decisions = self._decide(wishes, lambda view, _: proceed(view))
        self._connection.executemany(
            "INSERT INTO batch (batch_id, correlation_id, proceed_at) VALUES (?1, ?2, ?3)"
            " ON CONFLICT DO UPDATE SET proceed_at = excluded.proceed_at,"
            " ready_at = CASE WHEN ?4 THEN ?3 END, closed_at = CASE WHEN ?4 THEN ?3 END",
            [
                (wish.batch_id, wish.correlation_id, self._at, decision.became_ready)
                for wish, decision in zip(wishes, decisions, strict=True)
                if not decision.skipped
            ],
        )
        return decisions

    def cancel(self, wishes: Sequence[Cancellation]) -> Sequence[ReadinessDecision]:
        """Stop batches; their essays that are not at an end fail, with the reason."""
        decisions = self._decide(wishes, lambda view, _: cancel(view))
        granted = [
            wish for wish, decision in zip(wishes, decisions, strict=True) if not decision.skipped
        ]
        self._connection.executemany(
            "INSERT INTO batch (batch_id, correlation_id, cancelled_at, cancel_reason)"
            " VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " cancelled_at = excluded.cancelled_at, cancel_reason = excluded.cancel_reason",
            [(wish.batch_id, wish.correlation_id, self._at, wish.reason) for wish in granted],
        )
        target = EssayStatus.ESSAY_CRITICAL_FAILURE
        sources = json_list(sorted(StateTransitionValidator.sources(target)))
        self._connection.executemany(
            "UPDATE essay SET status = ?1, failure = ?2, updated_at = ?3,"
            " timeline = json_set(timeline, '$.' || ?1, ?3)"
            " WHERE batch_number = (SELECT batch_number FROM batch WHERE batch_id = ?4)"
            " AND status IN (SELECT value FROM json_each(?5))",
            [(target.value, wish.reason, self._at, wish.batch_id, sources) for wish in granted],
        )
        return decisions

    def _decide(
        self,
        wishes: Sequence[Wish],
        decide: Callable[[BatchView, int], ReadinessDecision],
    ) -> list[ReadinessDecision]:
        views = self._views([wish.batch_id for wish in wishes])
        decisions = []
        for place, wish in enumerate(wishes):
            decision = decide(views[wish.batch_id], place)
            views[wish.batch_id] = decision.view
            decisions.append(decision)
        return decisions

    def _views(self, batch_ids: Sequence[str]) -> dict[str, BatchView]:
        """Return what wishes look at: a registered batch is one of which the ids are not asked."""
        views = {batch_id: BatchView(batch_id=batch_id) for batch_id in batch_ids}
        for row in self._connection.execute(
            "SELECT batch_id, registered_at, ready_at, proceed_at, cancelled_at, deadline_at,"
            " timed_out FROM batch WHERE batch_id IN (SELECT value FROM json_each(?))",
            (json_list(batch_ids),),
        ):
            batch_id, registered, ready, told, cancelled, deadline, out = row
            views[batch_id] = BatchView(
                batch_id=batch_id,
                registered=None if registered is None else frozenset(),
                ready=ready is not None,
                proceeding=told is not None,
                cancelled=cancelled is not None,
                deadline=moment_of(deadline),
                timed_out=moment_of(out),
            )
        return views
