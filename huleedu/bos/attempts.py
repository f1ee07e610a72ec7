"""Which essays each attempt of a batch is about, and which of the batch's failed."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from huleedu.bos.model import Batch
from huleedu.core.messages import EssayProcessingInputRefV1

_encode = msgspec.json.Encoder().encode
_essay_ids = msgspec.json.Decoder(list[str])
_essays = msgspec.json.Decoder(list[EssayProcessingInputRefV1])


def keep_ready_essays(
    connection: sqlite3.Connection, batch_id: str, essays: Sequence[EssayProcessingInputRefV1]
) -> None:
    """Keep the essays that are ready; those that were kept first stay."""
    connection.execute(
        "INSERT INTO attempt (batch_id, attempt, essays) VALUES (?, 1, ?)"
        " ON CONFLICT DO UPDATE SET essays = excluded.essays WHERE essays IS NULL",
        (batch_id, _encode(list(essays))),
    )


def keep_retried_essays(
    connection: sqlite3.Connection, batch: Batch, essays: Sequence[EssayProcessingInputRefV1]
) -> None:
    """Keep the essays that the batch's current attempt is about."""
    connection.execute(
        "INSERT INTO attempt (batch_id, attempt, essays) VALUES (?, ?, ?)",
        (batch.batch_id, batch.attempt, _encode(list(essays))),
    )


def keep_failed_essay_ids(
    connection: sqlite3.Connection, batch: Batch, essay_ids: Sequence[str]
) -> None:
    """Keep which essays of the batch failed, by the outcome of its current attempt."""
    connection.execute(
        "INSERT INTO attempt (batch_id, attempt, failed_essay_ids) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET failed_essay_ids = excluded.failed_essay_ids",
        (batch.batch_id, batch.attempt, _encode(list(essay_ids))),
    )


def load_retried_ids(
    connection: sqlite3.Connection, batches: Iterable[Batch]
) -> Mapping[str, frozenset[str]]:
    """Return the essays that an attempt after the first is about, by batch id."""
    wanted = [(batch.batch_id, batch.attempt) for batch in batches if batch.attempt > 1]
    if not wanted:
        return {}
    rows = connection.execute(
        "SELECT batch_id, essays FROM json_each(?) AS pair CROSS JOIN attempt"
        " ON batch_id = pair.value ->> 0 AND attempt = pair.value ->> 1",
        (_encode(wanted),),
    )
    return {
        batch_id: frozenset(essay.essay_id for essay in _essays.decode(essays))
        for batch_id, essays in rows
    }


def load_failed_with_text(
    connection: sqlite3.Connection, batch: Batch
) -> Sequence[EssayProcessingInputRefV1] | None:
    """Return the failed essays that have a text, in the order of readiness."""
    row = connection.execute(
        "SELECT ready.essays, ended.failed_essay_ids"
        " FROM attempt AS ready JOIN attempt AS ended ON ended.batch_id = ready.batch_id"
        " WHERE ready.batch_id = ? AND ready.attempt = 1 AND ended.attempt = ?"
        " AND ready.essays IS NOT NULL AND ended.failed_essay_ids IS NOT NULL",
        (batch.batch_id, batch.attempt),
    ).fetchone()
    if row is None:
        return None
    failed = frozenset(_essay_ids.decode(row[1]))
    return [essay for essay in _essays.decode(row[0]) if essay.essay_id in failed]
