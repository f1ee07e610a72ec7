"""A class on its way through a program that is killed meanwhile, and the count of such classes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.crash.answered import Answered
from tests.crash.process import essays_in

EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSES = (("ENG5", EXAMPLES / "eng5"), ("SV1", EXAMPLES / "sv1"))
SUBMISSION_SECONDS_MAX = 120.0
OVER = {"completed_successfully", "completed_with_failures", "failed_critically"}


@dataclass
class Submission:
    """One class on its way, resumed by its client after every cut connection.

    The client repeats what got no answer, and nothing that was answered; ``answered`` keeps that.
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
    answered: list[Answered] = field(default_factory=list)
    seconds: float = 0.0
    """How long its client was at work."""
    patience: float = SUBMISSION_SECONDS_MAX
    _is_uploaded: bool = False

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    def run(self) -> None:
        """Register, upload and watch until the batch has ended."""
        started = time.monotonic()
        while not self.is_over and self.error is None:
            if time.monotonic() > started + self.patience:
                self.is_stuck = True
                self.error = f"still {self.status!r} after {self.patience:g} s"
                continue
            try:
                with httpx.Client(timeout=10) as client:
                    self._go_on(client, started + self.patience)
            except httpx.TransportError:
                time.sleep(0.02)
        self.seconds = time.monotonic() - started

    def _go_on(self, client: httpx.Client, deadline: float) -> None:
        if self.batch_id is None:
            self._register(client)
        elif not self._is_uploaded:
            self._upload(client, self.batch_id)
        else:
            while not self.is_over and self.error is None and time.monotonic() < deadline:
                self._look(client)
                time.sleep(0.02)

    def _register(self, client: httpx.Client) -> None:
        essays = essays_in(self.folder)
        essay_ids = [f"essay-{number:02}" for number in range(1, len(essays) + 1)]
        answer = client.post(
            f"{self.address('bos')}/v1/batches/register",
            headers={"Idempotency-Key": self.key},
            json={
                "expected_essay_count": len(essays),
                "essay_ids": essay_ids,
                "course_code": self.course,
                "class_designation": "9A",
                "essay_instructions": "Write.",
            },
        )
        if answer.status_code in (409, 503):
            time.sleep(0.05)
        elif not self._refused(answer, 202):
            self.batch_id = str(answer.json()["batch_id"])
            items = dict.fromkeys(essay_ids, "")
            self.answered.append(Answered("registered", self.batch_id, items))
            self._look(client)

    def _upload(self, client: httpx.Client, batch_id: str) -> None:
        parts = [("files", (path.name, path.read_bytes())) for path in essays_in(self.folder)]
        answer = client.post(
            f"{self.address('files')}/v1/files/batch", data={"batch_id": batch_id}, files=parts
        )
        if answer.status_code == 404:
            self._look(client)  # the registration may not have got there; it is not sent again
        elif answer.status_code == 503:
            time.sleep(0.05)
        elif not self._refused(answer, 202):
            items = {one["essay_id"]: one["name"] for one in answer.json()["files"]}
            self.answered.append(Answered("uploaded", batch_id, items))
            self._is_uploaded = True

    def _look(self, client: httpx.Client) -> None:
        """Learn the status; a batch that was answered with 202 is known from then on."""
        answer = client.get(f"{self.address('bos')}/v1/batches/{self.batch_id}")
        if not self._refused(answer, 200):
            self.status = answer.json()["status"]

    def _refused(self, answer: httpx.Response, expected: int) -> bool:
        if answer.status_code != expected:
            told = f"{answer.status_code} {answer.text[:300]}"
            self.error = f"{answer.request.url}: {told}; answered before: {self._told()}"
        return self.error is not None

    def _told(self) -> str:
        return ", ".join(one.what for one in self.answered) or "nothing"


def submission_of(run: int, address: Callable[[str], str]) -> Submission:
    """Return a new submission of the example class whose turn it is."""
    course, folder = CLASSES[run % len(CLASSES)]
    return Submission(address, course, folder, key=f"run-{run}-{time.time_ns()}")


@dataclass
class Tally:
    """What happened in all; ``batches`` maps batch id → number of essays."""

    batches: dict[str, int] = field(default_factory=dict)
    answered: list[Answered] = field(default_factory=list)
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
        self.answered += submission.answered
        if submission.batch_id is not None:
            self.batches[submission.batch_id] = len(essays_in(submission.folder))
        if submission.is_stuck:
            self.stuck.append(f"{where}: {submission.error}")
        elif submission.error is not None:
            self.faults.append(f"{where}: {submission.error}")
        elif submission.status != "completed_successfully":
            self.lost.append(f"{where}: {submission.status}")
