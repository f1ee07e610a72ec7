"""Readiness of many batches at once: load what a fetch names, decide, write it back."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from huleedu.core.clock import text_of, to_text
from huleedu.core.enums import EssayStatus
from huleedu.core.messages import EssayProcessingInputRefV1
from huleedu.els.decide import register, take
from huleedu.els.model import BatchView, Content, ReadinessDecision, Registration
from huleedu.els.store import json_list


class BatchEssayTracker:
    """Counts the essays of every batch, in the transaction that ``connection`` is in."""

    def __init__(self, connection: sqlite3.Connection, now: datetime) -> None:
        self._connection = connection
        self._at = to_text(now)
        self._numbers: dict[str, int] = {}
        """Of the batches that were looked at and have a row."""

    def register_batch(
        self, registrations: Sequence[Registration], correlation_ids: Mapping[str, str | None]
    ) -> Sequence[ReadinessDecision]:
        """Open batches; returns a decision for each registration, in their order.

        Of several about one batch the first counts.
        """
        views = dict(self._views({one.batch_id for one in registrations}, all_slots=True))
        decisions: list[ReadinessDecision] = []
        for registration in registrations:
            decision = register(views[registration.batch_id], registration)
            views[registration.batch_id] = decision.view
            decisions.append(decision)
        opened = [
            (registration, decision)
            for registration, decision in zip(registrations, decisions, strict=True)
            if not decision.skipped
        ]
        # Mostly one for all of them, each of which costs more than the rest of its row.
        deadlines = {moment: text_of(moment) for moment in {one.deadline for one, _ in opened}}
        self._connection.executemany(
            "INSERT INTO batch (batch_id, correlation_id, essay_ids, filled, registered_at,"
            " ready_at, closed_at, deadline_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET correlation_id = excluded.correlation_id,"
            " essay_ids = excluded.essay_ids, filled = excluded.filled,"
            " registered_at = excluded.registered_at, ready_at = excluded.ready_at,"
            " closed_at = excluded.closed_at,"
            # An extension came before: it counts.
            " deadline_at = coalesce(deadline_at, excluded.deadline_at)",
            [
                (
                    decision.view.batch_id,
                    correlation_ids.get(decision.view.batch_id),
                    json_list(list(registration.essay_ids)),
                    decision.view.filled,
                    self._at,
                    self._at if decision.view.ready else None,
                    self._at if decision.view.closed else None,
                    deadlines[registration.deadline],
                )
                for registration, decision in opened
            ],
        )
        self._connection.executemany(
            "DELETE FROM essay WHERE batch_number = ? AND essay_id = ?",
            [
                (self._numbers[d.view.batch_id], essay_id)
                for _, d in opened
                for essay_id in d.dropped
            ],
        )
        return decisions

    def mark_essay_ready(self, contents: Sequence[Content]) -> Sequence[ReadinessDecision]:
        """Take texts; returns what follows for each batch that they name."""
        by_batch: dict[str, list[Content]] = {}
        for content in contents:
            by_batch.setdefault(content.batch_id, []).append(content)
        views = self._views(by_batch, named=contents)
        decisions = [take(views[batch_id], several) for batch_id, several in by_batch.items()]
        self._open_unregistered([d.view.batch_id for d in decisions if d.kept])
        # Apart, since an index lists the batches that are not ready: few leave it in a fetch.
        self._connection.executemany(
            "UPDATE batch SET filled = ? WHERE batch_number = ?",
            [(d.view.filled, self._numbers[d.view.batch_id]) for d in decisions if d.kept],
        )
        self._connection.executemany(
            "UPDATE batch SET ready_at = ? WHERE batch_number = ?",
            [(self._at, self._numbers[d.view.batch_id]) for d in decisions if d.became_ready],
        )
        self._keep(decisions)
        return decisions

    def texts(self, batch_ids: Sequence[str]) -> Mapping[str, Sequence[EssayProcessingInputRefV1]]:
        """Return the essays of batches with their texts, in the order of registration."""
        wanted = json_list(batch_ids)
        texts: dict[str, dict[str, EssayProcessingInputRefV1]] = {b: {} for b in batch_ids}
        for batch_id, essay_id, storage_id in self._connection.execute(
            "SELECT batch_id, essay_id, text_storage_id"
            " FROM json_each(?) AS wanted CROSS JOIN essay_of_batch ON batch_id = wanted.value",
            (wanted,),
        ):
            texts[batch_id][essay_id] = EssayProcessingInputRefV1(
                essay_id=essay_id, text_storage_id=storage_id
            )
        registered = self._connection.execute(
            "SELECT batch_id, essay_ids FROM batch"
            " WHERE batch_id IN (SELECT value FROM json_each(?))",
            (wanted,),
        )
        return {
            batch_id: [
                texts[batch_id][essay_id]
                for essay_id in msgspec.json.decode(essay_ids)
                if essay_id in texts[batch_id]
            ]
            for batch_id, essay_ids in registered
        }

    def _open_unregistered(self, batch_ids: Iterable[str]) -> None:
        """Give a row, and by that a number, to batches of which only texts are known."""
        new = [batch_id for batch_id in batch_ids if batch_id not in self._numbers]
        if new:
            self._numbers |= self._connection.execute(
                "INSERT INTO batch (batch_id) SELECT value FROM json_each(?)"
                " RETURNING batch_id, batch_number",
                (json_list(new),),
            ).fetchall()

    def _keep(self, decisions: Sequence[ReadinessDecision]) -> None:
        status = EssayStatus.READY_FOR_PROCESSING.value
        timeline = msgspec.json.encode({status: self._at}).decode()
        self._connection.executemany(
            "INSERT INTO essay (batch_number, essay_id, status, text_storage_id, student_name,"
            " student_email, file_name, timeline, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET text_storage_id = excluded.text_storage_id,"
            " student_name = excluded.student_name, student_email = excluded.student_email,"
            " file_name = excluded.file_name, updated_at = excluded.updated_at",
            [
                (
                    self._numbers[decision.view.batch_id],
                    essay_id,
                    status,
                    text.storage_id,
                    text.student_name,
                    text.student_email,
                    text.file_name,
                    timeline,
                    self._at,
                )
                for decision in decisions
                for essay_id, text in decision.kept.items()
            ],
        )

    def _views(
        self,
        batch_ids: Iterable[str],
        named: Sequence[Content] = (),
        *,
        all_slots: bool = False,
    ) -> Mapping[str, BatchView]:
        wanted = list(batch_ids)
        views = {batch_id: BatchView(batch_id=batch_id) for batch_id in wanted}
        rows = self._connection.execute(
            "SELECT batch_number, batch_id, essay_ids, filled, ready_at, closed_at, proceed_at,"
            " cancelled_at FROM batch WHERE batch_id IN (SELECT value FROM json_each(?))",
            (json_list(wanted),),
        ).fetchall()
        self._numbers |= {row[1]: row[0] for row in rows}
        numbers = [row[0] for row in rows]
        slots = self._all_slots(numbers) if all_slots else self._named_slots(named)
        for (
            number,
            batch_id,
            essay_ids,
            filled,
            ready_at,
            closed_at,
            proceed_at,
            cancelled_at,
        ) in rows:
            views[batch_id] = BatchView(
                batch_id=batch_id,
                registered=None if essay_ids is None else frozenset(msgspec.json.decode(essay_ids)),
                filled=filled,
                ready=ready_at is not None,
                slots=slots.get(number, {}),
                closed=closed_at is not None,
                proceeding=proceed_at is not None,
                cancelled=cancelled_at is not None,
            )
        return views

    def _all_slots(self, numbers: Sequence[int]) -> Mapping[int, Mapping[str, str]]:
        return _nested(
            self._connection.execute(
                "SELECT batch_number, essay_id, text_storage_id FROM essay"
                " WHERE batch_number IN (SELECT value FROM json_each(?))",
                (json_list(numbers),),
            )
        )

    def _named_slots(self, contents: Sequence[Content]) -> Mapping[int, Mapping[str, str]]:
        pairs = {
            (self._numbers[content.batch_id], content.essay_id)
            for content in contents
            if content.batch_id in self._numbers
        }
        return _nested(
            self._connection.execute(
                "SELECT batch_number, essay_id, text_storage_id"
                " FROM json_each(?) AS pair CROSS JOIN essay"
                " ON batch_number = pair.value ->> 0 AND essay_id = pair.value ->> 1",
                (json_list(list(pairs)),),
            )
        )


def _nested(rows: Iterable[tuple[int, str, str]]) -> Mapping[int, Mapping[str, str]]:
    nested: dict[int, dict[str, str]] = {}
    for number, essay_id, storage_id in rows:
        nested.setdefault(number, {})[essay_id] = storage_id
    return nested
