"""Reads: the facts of a batch, and what there is of effects."""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from huleedu.core.clock import to_text
from huleedu.core.enums import RefusalReason
from huleedu.core.errors import NotFound
from huleedu.core.ports import Accepted
from huleedu.results.decide import NOTHING_ACCEPTED, view_of
from huleedu.results.model import BatchFacts, BatchView, EssayFacts, ResultFact, TextFact

PATIENCE = timedelta(seconds=30)
"""How long an outcome waits for results that it has overtaken (see ``decide.view_of``)."""
BEHIND_SECONDS = 1.0
"""When to ask again for a batch whose registration may be under way."""


class Effect(NamedTuple):
    """What a batch's events of one kind and attempt have done; ``times`` must be 1."""

    batch_id: str
    event_type: str
    attempt: int
    essay_id: str
    times: int


def effects(connection: sqlite3.Connection) -> Sequence[Effect]:
    """Return every effect with the number of distinct events that claimed it.

    ``essay_id`` is empty for what is about a batch.  Kinds that may rightly happen again (another
    text of an essay, another deadline) have a row for each time.
    """
    rows = connection.execute(
        "SELECT batch_id, event_type, attempt, essay_id, 1 + other_events FROM progress_event"
        " ORDER BY batch_id, event_type, attempt, essay_id, discriminator"
    )
    return [Effect(*row) for row in rows]


def view(
    connection: sqlite3.Connection,
    batch_id: str,
    now: datetime,
    accepted: Accepted = NOTHING_ACCEPTED,
) -> BatchView:
    """Return the batch as it stands at this moment (see ``decide.view_of``).

    Raises ``NotFound``, with a time to ask again, for a batch whose registration was not heard.
    """
    facts = load_facts(connection, batch_id)
    if facts is None:
        raise NotFound(
            f"no batch {batch_id!r} is known here; one that was registered a moment ago "
            "shows up shortly",
            retry_after_seconds=BEHIND_SECONDS,
        )
    return view_of(facts, to_text(now - PATIENCE), accepted)


def load_facts(connection: sqlite3.Connection, batch_id: str) -> BatchFacts | None:
    """Return all that was said about a batch, or None before its registration."""
    batches = _rows(
        connection, "SELECT * FROM batch WHERE batch_id = ? AND registered_at IS NOT NULL", batch_id
    )
    if not batches:
        return None
    texts, results = _texts(connection, batch_id), _results(connection, batch_id)
    essays = [
        EssayFacts(
            essay_id=essay_id,
            is_ready=bool(is_ready),
            outcome_is_success=bool(is_success),
            ready_storage_id=ready_storage_id,
            requested_attempt=requested_attempt,
            requested_at=requested_at,
            requested_storage_id=requested_storage_id,
            outcome_attempt=outcome_attempt,
            texts=texts.pop(essay_id, ()),
            results=results.get(essay_id, ()),
        )
        for (
            essay_id,
            is_ready,
            is_success,
            ready_storage_id,
            requested_attempt,
            requested_at,
            requested_storage_id,
            outcome_attempt,
        ) in connection.execute(
            "SELECT essay_id, is_ready, outcome_is_success, ready_storage_id, requested_attempt,"
            " requested_at, requested_storage_id, outcome_attempt FROM essay"
            " WHERE batch_id = ? AND position IS NOT NULL ORDER BY position",
            (batch_id,),
        )
    ]
    strangers = [(essay_id, text) for essay_id, named in texts.items() for text in named]
    return msgspec.convert({**batches[0], "essays": essays, "strangers": strangers}, BatchFacts)


def _texts(connection: sqlite3.Connection, batch_id: str) -> dict[str, list[TextFact]]:
    found: dict[str, list[TextFact]] = defaultdict(list)
    query = "SELECT * FROM essay_text WHERE batch_id = ?"
    for row in _rows(connection, query, batch_id):
        reason = row.pop("refused_because")
        essay_id = _without_key(row)
        refused = None if reason is None else RefusalReason(reason)
        found[essay_id].append(TextFact(**row, refused_because=refused))
    return found


def _results(connection: sqlite3.Connection, batch_id: str) -> dict[str, list[ResultFact]]:
    found: dict[str, list[ResultFact]] = defaultdict(list)
    query = "SELECT * FROM essay_result WHERE batch_id = ?"
    for row in _rows(connection, query, batch_id):
        is_success = bool(row.pop("is_success"))
        essay_id = _without_key(row)
        found[essay_id].append(ResultFact(**row, is_success=is_success))
    return found


def _without_key(row: dict[str, Any]) -> str:
    """Take batch and essay out of a row; return the essay's id."""
    del row["batch_id"]
    essay_id: str = row.pop("essay_id")
    return essay_id


def _rows(connection: sqlite3.Connection, query: str, batch_id: str) -> list[dict[str, Any]]:
    cursor = connection.execute(query, (batch_id,))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
