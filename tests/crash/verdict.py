"""What must hold of the stores after the crashes, read from the files themselves."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from tests.crash.answered import Answered, lost
from tests.crash.observed import repeated

OUTBOXES = ("bos", "els", "files", "results")
_BATCHES = "SELECT batch_id FROM batch"


def faults(
    data_dir: Path, batches: Mapping[str, int], answered: Iterable[Answered]
) -> Sequence[str]:
    """Return every broken promise of a whole program in one process, in words.

    ``batches`` maps batch id → number of essays.  Its effects were observed (see ``observed``).
    """
    return [
        *store_faults(data_dir, batches),
        *lost(data_dir, answered),
        *repeated(data_dir),
        *_dead_letters(data_dir),
    ]


def strangers(data_dir: Path, batches: Mapping[str, int]) -> Sequence[str]:
    """Return the batches that no client was told of: what was sent again became a second one."""
    known = {str(batch_id) for (batch_id,) in _rows(data_dir / "bos.db", _BATCHES)}
    return [f"batch {one}: no client was told of it" for one in sorted(known - batches.keys())]


def store_faults(data_dir: Path, batches: Mapping[str, int]) -> Sequence[str]:
    """Return every broken promise that the modules' own stores tell, whatever carries messages."""
    return [
        *_events_said_twice(data_dir),
        *_effects(data_dir, batches),
        *_unsent(data_dir),
        *damage(data_dir),
    ]


def damage(data_dir: Path) -> Sequence[str]:
    """Return what SQLite finds wrong in the files of the stores."""
    faults = []
    for path in sorted(data_dir.glob("*.db")):
        try:
            told = [text for (text,) in _rows(path, "PRAGMA integrity_check")]
        except sqlite3.DatabaseError as error:
            told = [str(error)]
        if told != ["ok"]:
            faults.append(f"{path.name} is damaged: {told[:3]}")
    return faults


def _rows(path: Path, query: str) -> list[tuple[object, ...]]:
    # Not read-only: what a crash left half done is first rolled back or forward.
    with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=30)) as connection:
        return connection.execute(query).fetchall()


def _events_said_twice(data_dir: Path) -> Sequence[str]:
    said: dict[tuple[object, ...], list[object]] = {}
    for module in OUTBOXES:
        for topic, key, value, headers, event_id in _rows(
            data_dir / f"{module}.db", "SELECT topic, key, value, headers, event_id FROM outbox"
        ):
            data = json.loads(str(value, "utf-8") if isinstance(value, bytes) else str(value))
            told = json.loads(headers if isinstance(headers, str | bytes) else "{}")
            entity = data["data"].get("entity_ref") or {}
            essay = data["data"].get("essay_id") or entity.get("entity_id")
            batch = data["data"].get("batch_id") or entity.get("parent_id") or key
            said.setdefault((topic, batch, essay, told.get("attempt")), []).append(event_id)
    return [f"{what} was said {len(ids)} times: {ids}" for what, ids in said.items() if ids[1:]]


def _effects(data_dir: Path, batches: Mapping[str, int]) -> Sequence[str]:
    rows = _rows(
        data_dir / "results.db",
        "SELECT batch_id, event_type, attempt, essay_id FROM progress_event",
    )
    counted = Counter(rows)
    faults = [f"{row} has {count} effects" for row, count in counted.items() if count != 1]
    per_type = Counter((str(batch_id), str(event_type)) for batch_id, event_type, _, _ in rows)
    for batch_id, essays in batches.items():
        expected = {
            "batch.essays.registered": 1,
            "essay.content.ready": essays,
            "batch.essays.ready": 1,
            "essay.spellcheck.requested": essays,
            "essay.spellcheck.result.received": essays,
            "batch.phase.concluded": 1,
        }
        for event_type, count in expected.items():
            seen = per_type[batch_id, event_type]
            if seen != count:
                faults.append(f"batch {batch_id}: {event_type} {seen} times instead of {count}")
    return faults


def _unsent(data_dir: Path) -> Sequence[str]:
    faults = []
    for module in OUTBOXES:
        ((unsent,),) = _rows(
            data_dir / f"{module}.db", "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
        )
        if unsent:
            faults.append(f"the outbox of {module} still holds {unsent} rows")
    return faults


def _dead_letters(data_dir: Path) -> Sequence[str]:
    ((letters,),) = _rows(data_dir / "dead_letters.db", "SELECT count(*) FROM dead_letter")
    return [f"{letters} dead letters, though every message was valid"] if letters else []
