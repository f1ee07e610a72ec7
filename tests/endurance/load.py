"""Everybody who uses a program at once: teachers, watchers, and those who get everything wrong."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

import httpx

from tests.crash.submission import Submission, Tally, submission_of
from tests.endurance.server_address import Address
from tests.support.classes import registration

TEACHERS = 2
WATCHERS = 5
WATCH_SECONDS_MAX = 30.0
JSON = {"Content-Type": "application/json"}


class Load:
    """Clients in threads, from ``start`` until ``finish``."""

    def __init__(self, address: Address, seed: int) -> None:
        self._address = address
        self._seed = seed
        self._over = threading.Event()
        self._turn = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._runs = 0
        self._recent: list[str] = []
        self.tally = Tally()
        self.answers: Counter[int] = Counter()
        """Status → how often those who get everything wrong were answered so."""
        self.streamed = 0

    def start(self) -> None:
        clients = [self._teach] * TEACHERS + [self._watch] * WATCHERS + [self._blunder]
        for number, client in enumerate(clients):
            chance = random.Random(self._seed + number)
            self._threads.append(threading.Thread(target=client, args=(chance,)))
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Let everybody finish what is begun."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _teach(self, chance: random.Random) -> None:
        while not self._over.is_set():
            with self._turn:
                run = self._runs
                self._runs += 1
            submission = submission_of(run, lambda _module: self._address.url)
            submission.run()
            with self._turn:
                self.tally.add(run, submission)
                self._remember(submission)
            self._repeat(submission)
            self._over.wait(chance.uniform(0.2, 1.0))

    def _remember(self, submission: Submission) -> None:
        if submission.batch_id is not None:
            self._recent = [*self._recent[-20:], submission.batch_id]

    def _repeat(self, submission: Submission) -> None:
        """Send the finished registration once more: the same batch is answered."""
        again = Submission(submission.address, submission.course, submission.folder, submission.key)
        again.run()
        if (again.batch_id, again.status) != (submission.batch_id, submission.status):
            told = f"{again.batch_id} {again.status} {again.error or ''}"
            with self._turn:
                self.tally.faults.append(f"{submission.batch_id} sent again became {told}")

    def _watch(self, chance: random.Random) -> None:
        while not self._over.is_set():
            with self._turn:
                batch_id = chance.choice(self._recent) if self._recent else None
            try:
                self._follow(batch_id or self._open_batch(), chance)
            except httpx.TransportError:
                self._over.wait(0.1)

    def _open_batch(self) -> str:
        url = f"{self._address.url}/v1/batches/register"
        answer = httpx.post(url, json=registration(1), timeout=10)
        return str(answer.json().get("batch_id"))

    def _follow(self, batch_id: str, chance: random.Random) -> None:
        until = time.monotonic() + chance.uniform(1, WATCH_SECONDS_MAX)
        url = f"{self._address.url}/v1/results/{batch_id}/events"
        with httpx.stream("GET", url, timeout=20) as stream:
            for _ in stream.iter_bytes():
                self.streamed += 1
                if self._over.is_set() or time.monotonic() > until:
                    return
        self._over.wait(0.5)  # it had ended already

    def _blunder(self, chance: random.Random) -> None:
        while not self._over.is_set():
            send = chance.choice(BLUNDERS)
            try:
                with httpx.Client(base_url=self._address.url, timeout=10) as client:
                    answer = send(client)
            except httpx.TransportError:
                self._over.wait(0.1)
                continue
            with self._turn:
                self.answers[answer.status_code] += 1
                if not (400 <= answer.status_code < 500 or answer.status_code in {202, 503}):
                    self.tally.faults.append(f"{answer.status_code} for {answer.request.url}")
            self._over.wait(0.1)


def _post(body: object, **headers: str) -> Callable[[httpx.Client], httpx.Response]:
    return lambda client: client.post("/v1/batches/register", json=body, headers=headers)


def _upload(name: str, content: bytes) -> Callable[[httpx.Client], httpx.Response]:
    def send(client: httpx.Client) -> httpx.Response:
        batch_id = client.post("/v1/batches/register", json=registration(1)).json().get("batch_id")
        form: Mapping[str, str] = {"batch_id": str(batch_id)}
        return client.post("/v1/files/batch", data=form, files=[("files", (name, content))])

    return send


BLUNDERS = (
    _post({}),
    _post(registration(3, course_code="NONE")),
    _post(registration(1, essay_instructions="x" * 2_000_000)),
    _post(registration(2, expected_essay_count=5)),
    lambda client: client.post("/v1/batches/register", content=b"[" * 100_000, headers=JSON),
    lambda client: client.get("/v1/batches/none"),
    lambda client: client.get("/v1/results/none"),
    lambda client: client.get("/v1/batches?cursor=none"),
    lambda client: client.post("/v1/files/batch", content=b"no form"),
    _upload("essay.docx", b"PK\x03\x04 not a document"),
    _upload("essay.docx", b"MZ" + b"\0" * 100_000),
    _upload("essay.txt", b""),
    _upload("../../essay.txt", bytes(range(256)) * 100),
)
