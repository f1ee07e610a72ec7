"""Submissions to ``serve all-in-one`` under kill -9 with restarts: nothing lost, nothing twice.

``python -m tests.crash.embedded --runs 50`` (``make crash-embedded``).  Each submission is a whole
class, sent over HTTP as a client would: what got no answer again, nothing that was answered.  At a
random moment of it the process is killed and started again on the same data directory.
"""

import argparse
import math
import random
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.crash.observed import observe, repeated
from tests.crash.process import HuleeduProcess
from tests.crash.submission import CLASSES, Tally, submission_of
from tests.crash.verdict import faults, strangers

UNDISTURBED = 4


def submit(server: HuleeduProcess, run: int, kill_after: float | None, tally: Tally) -> float:
    """Send one class, kill the server once after ``kill_after`` seconds.

    Returns how long its client was at work.
    """
    submission = submission_of(run, lambda _module: server.url)
    client = threading.Thread(target=submission.run)
    client.start()
    if kill_after is not None:
        client.join(kill_after)
        tally.kills += 1
        tally.kills_on_unfinished_work += not submission.is_over
        server.kill()
        server.start()
    client.join()
    tally.add(run, submission)
    return submission.seconds


def crash_runs(runs: int, seed: int, directory: Path, planted: str | None = None) -> Tally:
    """Send ``runs`` classes, with a kill in each; return what happened, checked.

    A program with a planted bug is left alone once that is seen.
    """
    chance, tally = random.Random(seed), Tally()
    server = HuleeduProcess(directory / "data", directory / "log.jsonl", planted=planted)
    server.start()
    observe(directory / "data")
    # The quickest one tells how long a class takes, so that the kills hit its work.
    quickest = dict.fromkeys((course for course, _ in CLASSES), math.inf)
    for run in range(UNDISTURBED):
        if planted and tally.broken:
            break
        course, _ = CLASSES[run % len(CLASSES)]
        quickest[course] = min(quickest[course], submit(server, run, None, tally))
    for run in range(runs):
        if planted and (tally.broken or repeated(directory / "data")):
            break
        course, _ = CLASSES[run % len(CLASSES)]
        moment = chance.uniform(0.0, 0.95) * quickest[course]
        before = tally.kills_on_unfinished_work
        seconds = submit(server, run, moment, tally)
        quickest[course] = min(quickest[course], seconds)
        hit = "hit" if tally.kills_on_unfinished_work > before else "missed"
        print(f"run {run + 1}/{runs}: killed after {moment:.3f} s ({hit})", flush=True)  # noqa: T201
    code = server.stop()
    if code != 0:
        tally.faults.append(f"the last process ended with {code}")
    tally.faults += faults(directory / "data", tally.batches, tally.answered)
    tally.faults += strangers(directory / "data", tally.batches)
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
