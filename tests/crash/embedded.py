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
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx

from tests.crash.process import HuleeduProcess, essays_in
from tests.crash.verdict import faults

EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSES = (("ENG5", EXAMPLES / "eng5"), ("SV1", EXAMPLES / "sv1"))
SUBMISSION_SECONDS_MAX = 120.0
OVER = {"completed_successfully", "completed_with_failures", "failed_critically"}


@dataclass
class Submission:
    """One class on its way, resumed by its client after every cut connection."""

    server: HuleeduProcess
    course: str
    folder: Path
    key: str
    batch_id: str | None = None
    status: str = "not registered"
    error: str | None = None
    deadline: float = field(default_factory=lambda: time.monotonic() + SUBMISSION_SECONDS_MAX)

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    def run(self) -> None:
        """Register, upload and watch until the batch has ended."""
        while not self.is_over and self.error is None:
            if time.monotonic() > self.deadline:
                self.error = f"still {self.status!r} after {SUBMISSION_SECONDS_MAX:g} s"
                return
            try:
                with httpx.Client(base_url=self.server.url, timeout=10) as client:
                    self._go_on(client)
            except httpx.TransportError:
                time.sleep(0.02)

    def _go_on(self, client: httpx.Client) -> None:
        essays = essays_in(self.folder)
        answer = client.post(
            "/v1/batches/register",
            headers={"Idempotency-Key": self.key},
            json={
                "expected_essay_count": len(essays),
                "essay_ids": [f"essay-{number:02}" for number in range(1, len(essays) + 1)],
                "course_code": self.course,
                "class_designation": "9A",
                "essay_instructions": "Write.",
            },
        )
        if answer.status_code in (409, 503):
            time.sleep(0.05)
            return
        if self._refused(answer, 202):
            return
        self.batch_id = answer.json()["batch_id"]
        parts = [("files", (path.name, path.read_bytes())) for path in essays]
        answer = client.post("/v1/files/batch", data={"batch_id": self.batch_id}, files=parts)
        if answer.status_code in (404, 503):
            return
        if self._refused(answer, 202):
            return
        while not self.is_over and time.monotonic() < self.deadline:
            answer = client.get(f"/v1/batches/{self.batch_id}")
            if self._refused(answer, 200):
                return
            self.status = answer.json()["status"]
            time.sleep(0.02)

    def _refused(self, answer: httpx.Response, expected: int) -> bool:
        if answer.status_code != expected:
            self.error = f"{answer.request.url}: {answer.status_code} {answer.text[:300]}"
        return self.error is not None


@dataclass
class Tally:
    """What happened in all."""

    batches: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    kills_on_unfinished_work: int = 0
    broken: list[str] = field(default_factory=list)


def submit(server: HuleeduProcess, run: int, kill_after: float | None, tally: Tally) -> float:
    """Send one class, kill the server once after ``kill_after`` seconds; return the duration."""
    course, folder = CLASSES[run % len(CLASSES)]
    submission = Submission(server, course, folder, key=f"run-{run}-{time.time_ns()}")
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
    if submission.error is not None or submission.batch_id is None:
        tally.broken.append(f"run {run}: {submission.error}")
    else:
        tally.batches[submission.batch_id] = len(essays_in(folder))
        if submission.status != "completed_successfully":
            tally.broken.append(f"run {run}: batch {submission.batch_id} {submission.status}")
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
        tally.broken.append(f"the last process ended with {code}")
    tally.broken += faults(directory / "data", tally.batches)
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
