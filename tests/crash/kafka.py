"""Classes through roles over a real broker, one of them under kill -9: each ends, with one result.

``python -m tests.crash.kafka --runs 200`` (``make crash``).  Every role is a process of its own.
In each run a client hands in a whole class; at a random moment of it a random role is killed and
started again.  A seed repeats roles and moments, as far as the machine is equally quick.
"""

import argparse
import math
import random
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from huleedu.core.topics import TOPICS
from tests.crash.answered import lost
from tests.crash.observed import observe, repeated
from tests.crash.said import READY, said, topic_faults
from tests.crash.submission import CLASSES, Submission, Tally, submission_of
from tests.crash.verdict import store_faults, strangers
from tests.support.deployment import Deployment, RoleProcess
from tests.support.kafka_broker import KafkaBroker

ROLES = (
    *("bos", "bos-worker", "els-api", "els-worker"),
    *("files", "content", "spellcheck-worker", "results"),
)
UNDISTURBED = 5
START_SECONDS_MAX = 60.0
QUIET_SECONDS_MAX = 60.0


@dataclass
class KafkaTally(Tally):
    """What happened in all."""

    second_ready: int = 0
    """Records of BatchEssaysReady beyond the first of a batch."""


def submit(
    deployment: Deployment, run: int, kill: tuple[str, float] | None, tally: Tally
) -> Submission:
    """Send one class, kill a role after so many seconds of it; return the class, over."""
    submission = submission_of(run, deployment.urls.__getitem__)
    client = threading.Thread(target=submission.run)
    client.start()
    if kill is not None:
        role, after = kill
        client.join(after)
        process = deployment.processes[role]
        tally.kills += 1
        tally.kills_on_unfinished_work += not submission.is_over
        process.kill()
        start_anew(process)
    client.join()
    tally.add(run, submission)
    return submission


def start_anew(process: RoleProcess) -> None:
    """Start it and return when it says so; raises ``AssertionError`` when it does not."""
    told_before = process.log.stat().st_size
    process.start()
    deadline = time.monotonic() + START_SECONDS_MAX
    while not _has_started(process, told_before):
        assert process.is_running, f"{process.name} ended; its log is {process.log}"
        assert time.monotonic() < deadline, f"{process.name} did not start: {process.log}"
        time.sleep(0.02)


def _has_started(process: RoleProcess, offset: int) -> bool:
    with process.log.open("rb") as log:
        log.seek(offset)
        return b'"role_started"' in log.read()


def kill_in_each(
    deployment: Deployment,
    runs: int,
    chance: random.Random,
    tally: Tally,
    roles: Sequence[str] = ROLES,
) -> None:
    """Send ``runs`` classes, and kill one of these roles in each."""
    submit(deployment, 0, None, tally)  # waits for the roles to come up
    # The quickest one tells how long a class takes, so that the kills hit its work.
    quickest = dict.fromkeys((course for course, _ in CLASSES), math.inf)
    for run in range(1, UNDISTURBED):
        submission = submit(deployment, run, None, tally)
        quickest[submission.course] = min(quickest[submission.course], submission.seconds)
    for run in range(runs):
        course, _ = CLASSES[run % len(CLASSES)]
        role, moment = chance.choice(roles), chance.uniform(0.0, 0.95) * quickest[course]
        before = tally.kills_on_unfinished_work
        submission = submit(deployment, run, (role, moment), tally)
        quickest[course] = min(quickest[course], submission.seconds)
        hit = "hit" if tally.kills_on_unfinished_work > before else "missed"
        print(  # noqa: T201
            f"run {run + 1}/{runs}: {role} killed after {moment:.3f} s ({hit}), "
            f"{submission.status} after {submission.seconds:.1f} s",
            flush=True,
        )


def crash_runs(
    runs: int,
    seed: int,
    bootstrap_servers: str,
    directory: Path,
    roles: Sequence[str] = ROLES,
    planted: str | None = None,
) -> KafkaTally:
    """Send ``runs`` classes, with a kill of one of these roles in each; return what happened.

    ``planted``: a bug that each role has (see ``planted``).
    """
    tally = KafkaTally()
    prefix = f"crash-{uuid.uuid4().hex[:12]}."
    data = directory / "data"
    # Else the partitions of a killed member stay with it until its session has run out, after 10 s.
    more = {"KAFKA_STATIC_MEMBERSHIP": "true", "PLANTED": planted or ""}
    with Deployment(data, bootstrap_servers, prefix, **more) as deployment:
        deployment.program = "tests.crash.planted" if planted else "huleedu"
        topics = deployment.start("topics")
        assert topics.wait() == 0, topics.log.read_text()
        del deployment.processes["topics"]
        for role in ROLES:
            deployment.start(role)
        observe(data)
        kill_in_each(deployment, runs, random.Random(seed), tally, roles)
        _wait_until_quiet(data, tally)
        codes = deployment.stop()
        tally.faults += [f"{name} ended with {code}" for name, code in codes.items() if code]
        tally.faults += [f"{name} had ended before" for name in ROLES if name not in codes]
    tally.faults += store_faults(data, tally.batches)
    tally.faults += lost(data, tally.answered)
    tally.faults += strangers(data, tally.batches)
    seen = anyio.run(said, bootstrap_servers, prefix)
    tally.faults += [*topic_faults(seen.counted, tally.batches), *repeated(data, seen.results)]
    tally.second_ready = sum(count - 1 for count in seen.counted[TOPICS[READY].name].values())
    return tally


def _wait_until_quiet(data: Path, tally: Tally) -> None:
    """Return when the last effects are there; what is not in time is found afterwards."""
    deadline = time.monotonic() + QUIET_SECONDS_MAX
    while store_faults(data, tally.batches):
        if time.monotonic() > deadline:
            tally.stuck.append(f"not all is done {QUIET_SECONDS_MAX:g} s after the last batch")
            return
        time.sleep(0.2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 0 when every promise held and enough kills hit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", flush=True)  # noqa: T201
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="huleedu-crash-"))
    broker = KafkaBroker(directory / "kafka")
    try:
        broker.start()
        tally = crash_runs(options.runs, seed, broker.bootstrap_servers, directory)
    finally:
        broker.kill()
        shutil.rmtree(directory / "kafka", ignore_errors=True)
    for fault in tally.broken:
        print(f"BROKEN: {fault}")  # noqa: T201
    enough = tally.kills_on_unfinished_work >= 0.9 * tally.kills
    good = enough and not tally.broken
    if good:
        shutil.rmtree(directory)
    else:
        print(f"the stores and logs are left in {directory}")  # noqa: T201
    print(  # noqa: T201
        f"{options.runs} runs, {tally.kills_on_unfinished_work} kills on unfinished work"
        f"{'' if enough else ' (too few)'}, {len(tally.lost)} lost, "
        f"{tally.second_ready} second BatchEssaysReady, {len(tally.stuck)} stuck "
        f"({len(tally.faults)} other broken promises, seed {seed}, "
        f"{time.monotonic() - began:.0f} s)"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
