"""Effects counted where they are made, by triggers that a test puts into the stores.

A module whose rows are unique hides what it did twice: the second row is not there.  A trigger
before the row sees the attempt.  What it sees stands in a table of its own, in the transaction of
the effect, so that what is rolled back is not counted.
"""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

TABLE = "observed"
INSTALL_SECONDS_MAX = 60.0


class _Effect(NamedTuple):
    """What counts as one, and what tells it from others (SQL over the new row)."""

    moment: str
    identity: str


_SAID = _Effect("AFTER INSERT ON outbox", "new.topic, CAST(new.key AS TEXT), new.event_id")
EFFECTS: Mapping[str, Sequence[_Effect]] = MappingProxyType(
    {
        "bos": (
            _SAID,
            _Effect("BEFORE INSERT ON batch", "new.batch_id"),
            _Effect("BEFORE INSERT ON first_result", "new.batch_id, new.attempt, new.essay_id"),
        ),
        "els": (_SAID,),
        "files": (
            _SAID,
            _Effect("BEFORE INSERT ON batch", "new.batch_id"),
            _Effect("BEFORE INSERT ON file", "new.batch_id, new.essay_id, new.version"),
        ),
        "results": (
            _SAID,
            _Effect(
                "BEFORE INSERT ON progress_event",
                "new.batch_id, new.event_type, new.attempt, new.essay_id, new.discriminator",
            ),
        ),
    }
)


def observe(data_dir: Path) -> None:
    """Count effects from now on, over restarts; waits for stores that are still being made."""
    deadline = time.monotonic() + INSTALL_SECONDS_MAX
    for store, effects in EFFECTS.items():
        while not _installed(data_dir / f"{store}.db", effects):
            assert time.monotonic() < deadline, f"{store} has no tables to observe"
            time.sleep(0.05)


def _installed(path: Path, effects: Sequence[_Effect]) -> bool:
    if not path.exists():
        return False
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (effect TEXT NOT NULL)")
            for number, (moment, identity) in enumerate(effects):
                of_what = moment.split()[-1]
                connection.execute(
                    f"CREATE TRIGGER IF NOT EXISTS {TABLE}_{number} {moment} BEGIN"
                    f" INSERT INTO {TABLE} VALUES (json_array('{of_what}', {identity})); END"
                )
        except sqlite3.OperationalError:
            return False  # its migrations have not been here
        connection.execute("COMMIT")
    return True


def repeated(
    data_dir: Path, results: Mapping[tuple[str, str], int] = MappingProxyType({})
) -> Sequence[str]:
    """Return in words each effect that was made more than once; observing must have begun.

    ``results``: (batch id, essay id) → how often its result was published, where the checker may
    publish one again; of such a result as many attempts at an effect are right.
    """
    faults = []
    for store in EFFECTS:
        path = data_dir / f"{store}.db"
        with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=30)) as connection:
            ((seen,),) = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchall()
            again = connection.execute(
                f"SELECT effect, count(*) FROM {TABLE} GROUP BY effect HAVING count(*) > 1"
            ).fetchall()
        faults += [
            f"{store}: {effect} took effect {count} times"
            for effect, count in again
            if count > results.get(_result_in(effect), 1)
        ]
        if not seen:
            faults.append(f"{store}: no effect was observed")
    return faults


def _result_in(effect: str) -> tuple[str, str]:
    """Return of which batch and essay an effect is a result's; two empty texts: of none."""
    match json.loads(effect):
        case ["first_result", batch_id, _, essay_id]:
            return batch_id, essay_id
        case ["progress_event", batch_id, "essay.spellcheck.result.received", _, essay_id, _]:
            return batch_id, essay_id
    return "", ""
