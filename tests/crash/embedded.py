"""Submissions to ``serve all-in-one`` under kill -9 with restarts: nothing lost, nothing twice.

``python -m tests.crash.embedded --runs 50`` (``make crash-embedded``).  Each submission is a whole
class, sent over HTTP as a client would: the same requests again until they are answered.  At a
random moment of it the process is killed and started again on the same data directory.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.crash.process import HuleeduProcess
from tests.crash.submission import Tally, submission_of
from tests.crash.verdict import faults


def submit(server: HuleeduProcess, run: int, kill_after: float | None, tally: Tally) -> float:
    """Send one class, kill the server once after ``kill_after`` seconds; return the duration."""
    submission = submission_of(run, lambda _module: server.url)
    client = threading.Thread(target=submission.run)
    started = time.monotonic()
    client.start()
    if kill_after is not None:
        client.join(kill_after)
        tally.kills += 1
        tally.kills_on_unfinished_work += not submission.is_over
        server.kill()
        server.start()
    client.join()
    tally.add(run, submission)
    return time.monotonic() - started


def crash_runs(runs: int, seed: int, directory: Path) -> Tally:
    """Send ``runs`` classes, with a kill in each; return what happened, checked."""
    chance, tally = random.Random(seed), Tally()
    server = HuleeduProcess(directory / "data", directory / "log.jsonl")
    server.start()
    # Undisturbed ones tell how long a class takes, so that the kills hit its work.
    usual = median(submit(server, run, None, tally) for run in range(3))
    for run in range(runs):
        moment = chance.uniform(0.0, 0.95 * usual)
        before = tally.kills_on_unfinished_work
        submit(server, run, moment, tally)
        hit = "hit" if tally.kills_on_unfinished_work > before else "missed"
        print(f"run {run + 1}/{runs}: killed after {moment:.3f} s ({hit})", flush=True)  # noqa: T201
    code = server.stop()
    if code != 0:
        tally.faults.append(f"the last process ended with {code}")
    tally.faults += faults(directory / "data", tally.batches)
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 0 when every promise held and enough kills hit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="huleedu-crash-") as directory:
        tally = crash_runs(options.runs, seed, Path(directory))
    for fault in tally.broken:
        print(f"BROKEN: {fault}")  # noqa: T201
    enough = tally.kills_on_unfinished_work >= 0.9 * tally.kills
    print(  # noqa: T201
        f"{len(tally.batches)} batches, {tally.kills} kills, "
        f"{tally.kills_on_unfinished_work} of them on unfinished work"
        f"{'' if enough else ' (too few)'}, {len(tally.broken)} broken promises, seed {seed}"
    )
    return 0 if enough and not tally.broken else 1


if __name__ == "__main__":
    sys.exit(main())
