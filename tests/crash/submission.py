"""A class on its way through a program that is killed meanwhile, and the count of such classes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.crash.process import essays_in

EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSES = (("ENG5", EXAMPLES / "eng5"), ("SV1", EXAMPLES / "sv1"))
SUBMISSION_SECONDS_MAX = 120.0
OVER = {"completed_successfully", "completed_with_failures", "failed_critically"}


@dataclass
class Submission:
    """One class on its way, resumed by its client after every cut connection.

    ``address`` tells where a module (``bos``, ``files``) answers now.
    """

    address: Callable[[str], str]
    course: str
    folder: Path
    key: str
    batch_id: str | None = None
    status: str = "not registered"
    error: str | None = None
    is_stuck: bool = False
    seconds: float = 0.0
    """How long its client was at work."""
    deadline: float = field(default_factory=lambda: time.monotonic() + SUBMISSION_SECONDS_MAX)

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    def run(self) -> None:
        """Register, upload and watch until the batch has ended."""
        started = time.monotonic()
        while not self.is_over and self.error is None:
            if time.monotonic() > self.deadline:
                self.is_stuck = True
                self.error = f"still {self.status!r} after {SUBMISSION_SECONDS_MAX:g} s"
                continue
            try:
                with httpx.Client(timeout=10) as client:
                    self._go_on(client)
            except httpx.TransportError:
                time.sleep(0.02)
        self.seconds = time.monotonic() - started

    def _go_on(self, client: httpx.Client) -> None:
        essays = essays_in(self.folder)
        answer = client.post(
            f"{self.address('bos')}/v1/batches/register",
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
        answer = client.post(
            f"{self.address('files')}/v1/files/batch", data={"batch_id": self.batch_id}, files=parts
        )
        if answer.status_code in (404, 503):
            return
        if self._refused(answer, 202):
            return
        while not self.is_over and time.monotonic() < self.deadline:
            answer = client.get(f"{self.address('bos')}/v1/batches/{self.batch_id}")
            if self._refused(answer, 200):
                return
            self.status = answer.json()["status"]
            time.sleep(0.02)

    def _refused(self, answer: httpx.Response, expected: int) -> bool:
        if answer.status_code != expected:
            self.error = f"{answer.request.url}: {answer.status_code} {answer.text[:300]}"
        return self.error is not None


def submission_of(run: int, address: Callable[[str], str]) -> Submission:
    """Return a new submission of the example class whose turn it is."""
    course, folder = CLASSES[run % len(CLASSES)]
    return Submission(address, course, folder, key=f"run-{run}-{time.time_ns()}")


@dataclass
class Tally:
    """What happened in all; ``batches`` maps batch id → number of essays."""

    batches: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    kills_on_unfinished_work: int = 0
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Every broken promise, in words."""
        return [*self.lost, *self.stuck, *self.faults]

    def add(self, run: int, submission: Submission) -> None:
        """Count a submission whose client has given up or come to an end."""
        where = f"run {run + 1}, batch {submission.batch_id}"
        if submission.batch_id is not None:
            self.batches[submission.batch_id] = len(essays_in(submission.folder))
        if submission.is_stuck:
            self.stuck.append(f"{where}: {submission.error}")
        elif submission.error is not None:
            self.faults.append(f"{where}: {submission.error}")
        elif submission.status != "completed_successfully":
            self.lost.append(f"{where}: {submission.status}")
