"""``python -m tests.endurance`` (``make endurance``): every process-level fault, in full.

Ends with a table of what was done and seen, and the line ``N passed, N failed``.
"""

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import anyio

from tests.crash.embedded import crash_runs
from tests.endurance.clean_stop import check_stops
from tests.endurance.commit_points import check_points
from tests.endurance.dead_tasks import check_tasks
from tests.endurance.deadlines import check_deadlines
from tests.endurance.full_disk import check_full_disk
from tests.endurance.hostile_bodies import check_bodies
from tests.endurance.journal import check_journal
from tests.endurance.one_key import check_one_key
from tests.endurance.one_store import check_one_store
from tests.endurance.purge import check_purge
from tests.endurance.report import Finding, table

Check = Callable[[Path], Finding]

CRASHES = 200
STORE_ROUNDS = 10


def _crashes(directory: Path, seed: int) -> Finding:
    tally = crash_runs(CRASHES, seed, directory)
    seen = (
        f"{tally.kills} kills, {tally.kills_on_unfinished_work} on unfinished work, "
        f"{len(tally.batches)} batches, {len(tally.lost)} lost"
    )
    return Finding("kill -9 under load", seen, tally.broken)


def _one_store(directory: Path) -> Finding:
    rounds = []
    for number in range(STORE_ROUNDS):
        place = directory / str(number)
        place.mkdir()
        rounds.append(check_one_store(place))
    faults = [fault for one in rounds for fault in one.faults]
    return Finding(rounds[0].promise, f"{STORE_ROUNDS} x ({rounds[0].seen})", faults)


def _journal(directory: Path) -> Finding:
    return anyio.run(partial(check_journal, directory, writes=600, read_seconds=0.2))


def checks(seed: int) -> Mapping[str, Check]:
    """Return every check by its name, in the order of the shortest first."""
    return {
        "one-store": _one_store,
        "journal": _journal,
        "full-disk": check_full_disk,
        "bodies": check_bodies,
        "purge": check_purge,
        "dead-tasks": check_tasks,
        "deadlines": partial(check_deadlines, seed=seed),
        "stops": partial(check_stops, seed=seed),
        "one-key": check_one_key,
        "points": check_points,
        "crashes": partial(_crashes, seed=seed),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 0 when every promise held."""
    seed = random.SystemRandom().randrange(2**32)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--only", action="append", choices=list(checks(0)), default=None)
    options = parser.parse_args(arguments)
    chosen = checks(options.seed)
    print(f"seed {options.seed}", flush=True)  # noqa: T201
    findings = []
    for name in options.only or chosen:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"huleedu-{name}-") as directory:
            findings.append(_checked(name, partial(chosen[name], Path(directory))))
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
    print(table(findings))  # noqa: T201
    return 0 if all(finding.holds for finding in findings) else 1


def _checked(name: str, check: Callable[[], Finding]) -> Finding:
    """Return what was found; a check that breaks down has failed, and the others go on."""
    try:
        return check()
    except (AssertionError, OSError, ExceptionGroup) as error:
        traceback.print_exc()
        return Finding(name, "broke down", [f"{type(error).__name__}: {error}"])


if __name__ == "__main__":
    sys.exit(main())
