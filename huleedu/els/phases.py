"""The spell-check phase of many batches: dispatch per essay, results, and the outcome."""

import sqlite3
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from datetime import datetime

import msgspec

from huleedu.core.clock import to_text
from huleedu.core.enums import EssayStatus, Language
from huleedu.core.essay_state import StateTransitionValidator
from huleedu.core.messages import EssayProcessingInputRefV1
from huleedu.els.decide import accepts_command, is_progress, settles
from huleedu.els.model import EssayView, Tally
from huleedu.els.store import json_list


class Command(msgspec.Struct, frozen=True):
    """Check these essays of a batch, in this attempt."""

    batch_id: str
    essay_ids: Sequence[str]
    language: Language
    attempt: int


class Result(msgspec.Struct, frozen=True):
    """What a checker answered about one essay; ``attempt`` is None from a foreign one."""

    batch_id: str
    essay_id: str
    status: EssayStatus
    attempt: int | None
    corrected_storage_id: str | None
    log_storage_id: str | None


class Dispatch(msgspec.Struct, frozen=True):
    """An essay whose check is to be requested."""

    batch_id: str
    essay_id: str
    text_storage_id: str
    language: Language
    attempt: int


class Conclusion(msgspec.Struct, frozen=True):
    """A phase that is over, for all essays of the batch, in the order of registration."""

    batch_id: str
    attempt: int
    processed: Sequence[EssayProcessingInputRefV1]
    failed_essay_ids: Sequence[str]

    @property
    def tally(self) -> Tally:
        """How many went well and how many did not."""
        return Tally(len(self.processed), len(self.failed_essay_ids))


class Phases:
    """Moves essays through the phase, in the transaction that ``connection`` is in."""

    def __init__(self, connection: sqlite3.Connection, now: datetime) -> None:
        self._connection = connection
        self._at = to_text(now)

    def attempt_of(self, batch_id: str) -> int | None:
        """Return the current attempt of a ready batch (0 before the first), or None."""
        row = self._connection.execute(
            "SELECT attempt FROM batch WHERE batch_id = ? AND ready_at IS NOT NULL", (batch_id,)
        ).fetchone()
        return None if row is None else int(row[0])

    def is_cancelled(self, batch_id: str) -> bool:
        """Tell whether a batch was cancelled, be it known otherwise or not."""
        row = self._connection.execute(
            "SELECT 1 FROM batch WHERE batch_id = ? AND cancelled_at IS NOT NULL", (batch_id,)
        ).fetchone()
        return row is not None

    def start(self, command: Command, current_attempt: int) -> Sequence[Dispatch] | None:
        """Move the commanded essays to awaiting_spellcheck; None when the command is no new one.

        Essays whose status does not allow it stay as they are and are not dispatched.
        """
        if not accepts_command(current_attempt, command.attempt):
            return None
        target = EssayStatus.AWAITING_SPELLCHECK
        moved = dict(
            self._connection.execute(
                "UPDATE essay SET status = ?, attempt = ?, failure = NULL, updated_at = ?,"
                " timeline = json_set(timeline, '$.' || ?, ?)"
                " WHERE batch_number = (SELECT batch_number FROM batch WHERE batch_id = ?)"
                " AND essay_id IN (SELECT value FROM json_each(?))"
                " AND status IN (SELECT value FROM json_each(?))"
                " RETURNING essay_id, text_storage_id",
                (
                    target.value,
                    command.attempt,
                    self._at,
                    target.value,
                    self._at,
                    command.batch_id,
                    json_list(list(command.essay_ids)),
                    json_list(
                        [status.value for status in StateTransitionValidator.sources(target)]
                    ),
                ),
            ).fetchall()
        )
        # Essays of an attempt that is not over stay pending: the outcome waits for them too.
        self._connection.execute(
            "UPDATE batch SET attempt = ?, language = ?, pending = pending + ?,"
            " concluded_at = NULL, dispatched_at = ?, progressed_at = ? WHERE batch_id = ?",
            (
                command.attempt,
                command.language.value,
                len(moved),
                self._at,
                self._at,
                command.batch_id,
            ),
        )
        return [
            Dispatch(command.batch_id, essay_id, moved[essay_id], command.language, command.attempt)
            for essay_id in dict.fromkeys(command.essay_ids)
            if essay_id in moved
        ]

    def essays(self, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], EssayView]:
        """Return the named essays (batch id, essay id) that have a text."""
        rows = self._connection.execute(
            "SELECT batch_id, essay_id, status, attempt, answered_attempt"
            " FROM json_each(?) AS pair CROSS JOIN essay_of_batch"
            " ON batch_id = pair.value ->> 0 AND essay_id = pair.value ->> 1",
            (json_list(sorted(set(pairs))),),
        )
        return {
            (batch_id, essay_id): EssayView(EssayStatus(status), attempt, answered)
            for batch_id, essay_id, status, attempt, answered in rows
        }

    def settle(
        self, results: Sequence[Result], essays: Mapping[tuple[str, str], EssayView]
    ) -> tuple[frozenset[int], Sequence[str]]:
        """Move essays by their results, the first of each counting.

        One that moves nothing may still show that the checkers go on (``decide.is_progress``).
        Returns the indexes of the results that changed nothing, and the batches that changed.
        """
        settled: dict[tuple[str, str], Result] = {}
        answered: dict[tuple[str, str], int] = {}
        skipped: set[int] = set()
        for index, result in enumerate(results):
            pair = (result.batch_id, result.essay_id)
            attempt = essays[pair].attempt if result.attempt is None else result.attempt
            if is_progress(essays[pair], attempt):
                answered[pair] = max(attempt, answered.get(pair, 0))
            if pair in settled or not settles(essays[pair], result.status, result.attempt):
                skipped.add(index)
            else:
                settled[pair] = result
        self._connection.executemany(
            "UPDATE essay SET status = ?, answered_attempt = attempt, corrected_storage_id = ?,"
            " log_storage_id = ?, updated_at = ?, timeline = json_set(timeline, '$.' || ?, ?)"
            " WHERE batch_number = (SELECT batch_number FROM batch WHERE batch_id = ?)"
            " AND essay_id = ?",
            [
                (
                    result.status.value,
                    result.corrected_storage_id,
                    result.log_storage_id,
                    self._at,
                    result.status.value,
                    self._at,
                    result.batch_id,
                    result.essay_id,
                )
                for result in settled.values()
            ],
        )
        self._note_progress(answered, settled)
        moved = Counter(result.batch_id for result in settled.values())
        self._connection.executemany(
            "UPDATE batch SET pending = pending - ? WHERE batch_id = ?",
            [(count, batch_id) for batch_id, count in moved.items()],
        )
        return frozenset(skipped), list(moved)

    def _note_progress(
        self, answered: Mapping[tuple[str, str], int], settled: Container[tuple[str, str]]
    ) -> None:
        """Note of which attempt essays (batch id, essay id) have an answer, and that it came now.

        In the rows of the ``settled`` ones that is noted already.
        """
        self._connection.executemany(
            "UPDATE essay SET answered_attempt = ?"
            " WHERE batch_number = (SELECT batch_number FROM batch WHERE batch_id = ?)"
            " AND essay_id = ?",
            [(attempt, *pair) for pair, attempt in answered.items() if pair not in settled],
        )
        self._connection.executemany(
            "UPDATE batch SET progressed_at = ? WHERE batch_id = ?",
            [
                (self._at, batch_id)
                for batch_id in dict.fromkeys(batch_id for batch_id, _ in answered)
            ],
        )

    def conclude(self, batch_ids: Sequence[str]) -> Sequence[Conclusion]:
        """Close the phase of those batches that wait for no result; each is closed once.

        Of a cancelled batch nothing is said any more.
        """
        closed = self._connection.execute(
            "UPDATE batch SET concluded_at = ? WHERE pending = 0 AND attempt > 0"
            " AND concluded_at IS NULL AND cancelled_at IS NULL"
            " AND batch_id IN (SELECT value FROM json_each(?))"
            " RETURNING batch_id, attempt",
            (self._at, json_list(list(batch_ids))),
        ).fetchall()
        return [self._conclusion(batch_id, attempt) for batch_id, attempt in sorted(closed)]

    def _conclusion(self, batch_id: str, attempt: int) -> Conclusion:
        processed: list[EssayProcessingInputRefV1] = []
        failed: list[str] = []
        for essay_id, corrected_storage_id in self._connection.execute(
            "SELECT slot.value, essay.corrected_storage_id"
            " FROM batch JOIN json_each(batch.essay_ids) AS slot"
            " LEFT JOIN essay ON essay.batch_number = batch.batch_number"
            " AND essay.essay_id = slot.value AND essay.status = ?"
            " WHERE batch.batch_id = ? ORDER BY slot.key",
            (EssayStatus.SPELLCHECKED_SUCCESS.value, batch_id),
        ):
            if corrected_storage_id is None:
                failed.append(essay_id)
            else:
                processed.append(
                    EssayProcessingInputRefV1(
                        essay_id=essay_id, text_storage_id=corrected_storage_id
                    )
                )
        return Conclusion(batch_id, attempt, processed, failed)
