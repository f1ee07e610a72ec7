"""The stream of effects: one row for each thing that happened to a batch, for readers and audit."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from huleedu.core.clock import to_text
from huleedu.core.enums import ProcessingEvent
from huleedu.core.messages import (
    BatchCancelled,
    BatchEssaysReady,
    BatchReadinessExtended,
    BatchReadinessTimeout,
    ELSBatchPhaseOutcomeV1,
    EssayContentReady,
    EssayContentRefused,
    SpellcheckResultDataV1,
)
from huleedu.results.facts import said_at
from huleedu.store.purging import Purge
from huleedu.transport.consumer import Heard

_FIRST_WITHOUT_HEADER = frozenset(
    {ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED, ProcessingEvent.BATCH_PHASE_CONCLUDED}
)


class ProgressEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One effect; ``essay_id`` is None when it is about the batch."""

    id: int
    event_type: str
    attempt: int
    essay_id: str | None
    details: msgspec.Raw
    """A JSON object: what the event said beside whom it is about."""


def note(connection: sqlite3.Connection, heard: Sequence[Heard], now: datetime) -> None:
    """Append what was heard; a repeat of an effect adds no row.

    Where another event claims an effect that is here already, it is counted: two event ids for
    one effect are a fault of their sender, which the store keeps to be seen.
    """
    heard_at = to_text(now)
    connection.executemany(
        "INSERT INTO progress_event"
        " (batch_id, event_type, attempt, essay_id, discriminator, event_id, heard_at, data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (batch_id, event_type, attempt, essay_id, discriminator)"
        " DO UPDATE SET other_events = other_events + 1 WHERE event_id <> excluded.event_id",
        [_row(one, heard_at) for one in heard],
    )


def _row(one: Heard, heard_at: str) -> tuple[object, ...]:
    attempt = one.attempt or int(one.event in _FIRST_WITHOUT_HEADER)
    data = {"said_at": said_at(one), "source": one.envelope.source_service, **_details(one)}
    return (
        one.batch_id,
        one.event.value,
        attempt,
        one.essay_id or "",
        _discriminator(one),
        one.message.event_id,
        heard_at,
        msgspec.json.encode(data).decode(),
    )


def _discriminator(one: Heard) -> str:
    """Return what tells this effect from others of its kind and attempt."""
    data = one.data
    match data:
        case EssayContentReady():
            return data.text_storage_id
        case EssayContentRefused():
            return f"{data.storage_id} {data.reason.value}"
        case BatchReadinessExtended():
            # A teacher may come back to an earlier wish.
            return f"{to_text(data.deadline)} {to_text(data.metadata.timestamp)}"
        case BatchReadinessTimeout():
            # Of two deadlines that had passed when they were set, nothing else differs.
            return str(one.envelope.event_id)
        case SpellcheckResultDataV1() if one.attempt is None:
            return one.message.event_id
        case _:
            return ""


_DETAILS: Mapping[type, Callable[[Any], dict[str, object]]] = {
    EssayContentReady: lambda data: {"storage_id": data.text_storage_id},
    EssayContentRefused: lambda data: {"storage_id": data.storage_id, "reason": data.reason},
    BatchEssaysReady: lambda data: {"essays": len(data.ready_essay_ids)},
    BatchReadinessTimeout: lambda data: {
        "ready": len(data.ready_essay_ids),
        "missing": len(data.missing_essay_ids),
        "missing_essay_ids": data.missing_essay_ids,
    },
    BatchReadinessExtended: lambda data: {"deadline": to_text(data.deadline)},
    BatchCancelled: lambda data: {"reason": data.reason, "cancelled_by": data.cancelled_by},
    SpellcheckResultDataV1: lambda data: {"status": data.status},
    ELSBatchPhaseOutcomeV1: lambda data: {"status": data.phase_status},
}


def _details(one: Heard) -> dict[str, object]:
    details = _DETAILS.get(type(one.data))
    return {} if details is None else details(one.data)


def last_id(connection: sqlite3.Connection, batch_id: str) -> int:
    """Return the id of the latest event of a batch; 0 when there is none."""
    (latest,) = connection.execute(
        "SELECT max(id) FROM progress_event WHERE batch_id = ?", (batch_id,)
    ).fetchone()
    return int(latest or 0)


def events_after(
    connection: sqlite3.Connection, batch_id: str, after: int, limit: int
) -> Sequence[ProgressEvent]:
    """Return up to ``limit`` events of a batch with ids above ``after``, in order."""
    rows = connection.execute(
        "SELECT id, event_type, attempt, essay_id, data FROM progress_event"
        " WHERE batch_id = ? AND id > ? ORDER BY id LIMIT ?",
        (batch_id, after, limit),
    )
    return [
        ProgressEvent(
            id=number,
            event_type=kind,
            attempt=attempt,
            essay_id=essay_id or None,
            details=msgspec.Raw(data.encode()),
        )
        for number, kind, attempt, essay_id, data in rows
    ]


purge_progress = Purge("progress_event", "id", "heard_at")
"""Forgets single events.

An effect whose event is gone would make a new row if it came again: by then, whoever could repeat
it has forgotten it too.
"""
