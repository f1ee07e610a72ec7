"""What all the stores say about one batch, with everything taken out that differs by chance."""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

STORES = ("bos", "els", "files", "results")
_BOOKKEEPING = re.compile(r"_.*|sqlite_.*|position|outbox_identity|outbox_lease|outbox_opening")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_BY_CHANCE = {"answer": {"key"}}
_COUNTED_UP = {"id", "position", "batch_number"}

State = Counter[str]
"""A row of a table, in words → how often it is there."""


def state_of(data_dir: Path, batch_id: str) -> State:
    """Return every row about the batch: effects, outbox, answers, and what counts as handled.

    Identifiers and moments are replaced by words; whether a moment is there still shows.
    """
    state: State = Counter()
    events: dict[str, str] = {}
    handled: list[tuple[str, str, str]] = []
    for store in STORES:
        with closing(sqlite3.connect(f"file:{data_dir / store}.db?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            for table in _tables_and_views(db):
                rows = [dict(row) for row in db.execute(f"SELECT * FROM {table}")]
                if table == "handled":
                    handled += [(store, r["consumer_group"], r["event_id"]) for r in rows]
                    continue
                told = [row for row in rows if batch_id in _text(row.values())]
                events |= {
                    row["event_id"]: row.get("topic", row.get("event_type"))
                    for row in told
                    if "event_id" in row
                }
                state.update(f"{store}.{table} {_words(table, r, batch_id)}" for r in told)
    for store, group, event_id in handled:
        if event_id in events:
            state[f"{store}.handled by {group}: {_kind(events[event_id])}"] += 1
    return state


def differences(expected: State, found: State) -> list[str]:
    """Return in words what is missing and what is too much."""
    missing = [f"missing {count}×: {row}" for row, count in (expected - found).items()]
    return missing + [f"too much {count}×: {row}" for row, count in (found - expected).items()]


def _tables_and_views(db: sqlite3.Connection) -> list[str]:
    # A view, too: where rows go by the number of their batch, it tells the batch.
    rows = db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    names = [name for (name,) in rows]
    return [name for name in names if not _BOOKKEEPING.fullmatch(name)]


def _text(values: Iterable[object]) -> str:
    return "\n".join(v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in values)


def _words(table: str, row: dict[str, object], batch_id: str) -> str:
    dropped = _COUNTED_UP | _BY_CHANCE.get(table, set())
    kept = {name: _text([value]) for name, value in row.items() if name not in dropped}
    text = json.dumps(kept).replace(batch_id, "BATCH")
    return _TIME.sub("TIME", _UUID.sub("UUID", _DIGEST.sub("DIGEST", text)))


def _kind(topic: str) -> str:
    return topic.removeprefix("huleedu.").removeprefix("els.").removesuffix(".v1")
