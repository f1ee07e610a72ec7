"""A program whose every write and sync is recorded, and clients that note what it answers."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec

from tests.crash.answered import Answered
from tests.crash.process import HuleeduProcess
from tests.power.disk import ANSWER, Record
from tests.support.classes import registration, texts, wait_until_over

ESSAYS = 2
SOURCE = Path(__file__).with_name("recorder.c")
TIMEOUT_SECONDS = 30.0
HEARD_SECONDS_MAX = 10.0


def recorder(directory: Path) -> Path:
    """Compile the library that is preloaded; raises ``AssertionError`` where that is impossible."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "losing power needs a C compiler, cc or gcc (Debian: apt install gcc)"
    library = directory / "recorder.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library


class Notes(list[Answered]):
    """What clients were answered, each noted in a recording when it is appended."""

    def __init__(self, recording: Path) -> None:
        super().__init__()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(recording, flags, 0o600)

    def append(self, answered: Answered) -> None:
        """Note it behind all that happened before."""
        os.write(self._file, Record(ANSWER, 0, 0, msgspec.json.encode(answered)).encoded())
        super().append(answered)

    def close(self) -> None:
        """Note nothing more."""
        os.close(self._file)


def recorded(path: Path, root: Path) -> dict[str, str]:
    """Return the environment of a process that records what it does to files below ``root``."""
    library = str(recorder(path.parent))
    return {"LD_PRELOAD": library, "POWER_ROOT": str(root), "POWER_LOG": str(path)}


@dataclass
class Class:
    """A class on its way: what is done with it, and how far that is answered."""

    files: Sequence[tuple[str, bytes]]
    batch_id: str = ""
    answered: list[str] = field(default_factory=list)


class Recording:
    """``serve all-in-one`` in ``directory``, started as often as one likes, in one recording.

    ``planted``: a bug that it has (see ``tests.crash.planted``).
    """

    def __init__(self, directory: Path, planted: str | None = None) -> None:
        self.root = directory / "disk"
        self.root.mkdir(parents=True)
        self.path = directory / "recording"
        self.classes: list[Class] = []
        environment = recorded(self.path, self.root) | {"SPELL_CHECKER_SERVICE_PROCESSES": "1"}
        self.server = HuleeduProcess(
            self.root / "data",
            directory / "log.jsonl",
            environment=environment,
            planted=planted,
        )
        self._notes = Notes(self.path)

    def make(self) -> None:
        """Start it on nothing, have it work, stop it, and once more to work until it is killed."""
        try:
            self.server.start()
            self._together(self._store, self._whole, self._late, self._cancelled)
            code = self.server.stop()
            assert code == 0, f"it ended with {code}"
            self.server.start()
            self._together(self._store, self._whole, self._handed_in)
        finally:
            if self.server.is_running:
                self.server.kill()
            self._notes.close()

    def _together(self, *clients: Callable[[httpx.Client], object]) -> None:
        faults: list[BaseException] = []

        def run(work: Callable[[httpx.Client], object]) -> None:
            try:
                with httpx.Client(base_url=self.server.url, timeout=TIMEOUT_SECONDS) as client:
                    work(client)
            except (httpx.HTTPError, AssertionError) as fault:
                faults.append(fault)

        threads = [threading.Thread(target=run, args=(work,)) for work in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []

    def _note(self, answer: httpx.Response, answered: Answered) -> None:
        assert answer.status_code in {201, 202}, answer.text
        self._notes.append(answered)

    def _store(self, client: httpx.Client) -> None:
        secret = (self.root / "data" / "role.secret").read_text()
        ((_, text),) = texts(1)
        headers = {"Authorization": f"Bearer {secret}"}
        answer = client.post("/v1/content", content=text, headers=headers)
        self._note(answer, Answered("stored", items={answer.json()["storage_id"]: ""}))

    def _registered(self, client: httpx.Client) -> Class:
        new = Class(texts(ESSAYS))
        body = registration(ESSAYS)
        answer = client.post("/v1/batches/register", json=body)
        new.batch_id = answer.json()["batch_id"]
        essays = {f"essay-{number:02}": "" for number in range(1, ESSAYS + 1)}
        self.classes.append(new)
        self._note(answer, Answered("registered", new.batch_id, essays))
        return new

    def _upload(self, client: httpx.Client, new: Class, files: int = ESSAYS) -> None:
        answer = upload(client, new.batch_id, new.files[:files])
        items = {file["essay_id"]: file["name"] for file in answer.json()["files"]}
        self._note(answer, Answered("uploaded", new.batch_id, items))

    def _act(self, client: httpx.Client, new: Class, action: str, **body: str) -> None:
        answer = client.post(f"/v1/batches/{new.batch_id}/{action}", json=body)
        self._note(answer, Answered(action, new.batch_id))

    def _whole(self, client: httpx.Client) -> None:
        new = self._handed_in(client)
        assert wait_until_over(self.server.url, new.batch_id) == "completed_successfully"

    def _handed_in(self, client: httpx.Client) -> Class:
        new = self._registered(client)
        self._upload(client, new)
        return new

    def _late(self, client: httpx.Client) -> None:
        new = self._registered(client)
        self._upload(client, new, 1)
        deadline = (datetime.now(UTC) + timedelta(days=3)).isoformat()
        self._act(client, new, "extend", deadline=deadline)
        self._act(client, new, "proceed")
        wait_until_over(self.server.url, new.batch_id)

    def _cancelled(self, client: httpx.Client) -> None:
        new = self._registered(client)
        self._upload(client, new, 1)
        self._act(client, new, "cancel", reason="the wrong class")


def upload(
    client: httpx.Client, batch_id: str, files: Sequence[tuple[str, bytes]]
) -> httpx.Response:
    """Hand in files; the registration may still be on its way to the role that takes them."""
    parts = [("files", file) for file in files]
    deadline = time.monotonic() + HEARD_SECONDS_MAX
    while True:
        answer = client.post("/v1/files/batch", data={"batch_id": batch_id}, files=parts)
        if answer.status_code != 404 or time.monotonic() > deadline:
            return answer
        time.sleep(0.02)
