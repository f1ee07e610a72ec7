"""When the disk is full or the data directory read-only: a clear answer, and it heals by itself."""

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.crash.process import HuleeduProcess, essays_in
from tests.crash.submission import OVER

FILE_BYTES = 4_096  # what a file may grow to while the disk is "full"

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HuleeduProcess]:
    process = HuleeduProcess(tmp_path / "data", tmp_path / "log.jsonl")
    process.start()
    yield process
    process.kill()


def register(client: httpx.Client) -> httpx.Response:
    body = {
        "expected_essay_count": 1,
        "essay_ids": ["essay-01"],
        "course_code": "ENG5",
        "class_designation": "9A",
        # Enough to need a new page of the store.
        "essay_instructions": "Write. " * 1_000,
    }
    return client.post("/v1/batches/register", json=body)


def until(probe: Callable[[], httpx.Response], status: int, seconds: float = 30) -> httpx.Response:
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer.status_code == status:
            return answer
        assert time.monotonic() < deadline, f"still {answer.status_code}: {answer.text[:300]}"
        time.sleep(0.1)


def test_a_full_disk_is_answered_503_and_heals(server: HuleeduProcess) -> None:
    """Nothing that was accepted is lost, and what was refused can be repeated."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        accepted = register(client).json()["batch_id"]
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, hard))

        refused = until(lambda: register(client), 503)

        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.headers["content-type"].startswith("application/problem+json")
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json()["reasons"] != []
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
        until(lambda: register(client), 202)
        until(lambda: client.get("/readyz"), 200)
        assert client.get(f"/v1/batches/{accepted}").status_code == 200


def test_a_class_handed_in_over_a_full_disk_is_checked_when_there_is_room_again(
    server: HuleeduProcess,
) -> None:
    """The disk fills up while essays flow; everything that was accepted ends."""
    folder = EXAMPLES / "eng5"
    with httpx.Client(base_url=server.url, timeout=30) as client:
        essays = len(essays_in(folder))
        body = {
            "expected_essay_count": essays,
            "essay_ids": [f"essay-{number:02}" for number in range(1, essays + 1)],
            "course_code": "ENG5",
            "class_designation": "9A",
            "essay_instructions": "Write.",
        }
        batch_id = client.post("/v1/batches/register", json=body).json()["batch_id"]
        parts = [("files", (path.name, path.read_bytes())) for path in essays_in(folder)]
        uploaded = client.post("/v1/files/batch", data={"batch_id": batch_id}, files=parts)
        assert uploaded.status_code == 202
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, hard))
        until(lambda: register(client), 503)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
        deadline = time.monotonic() + 60
        while (status := client.get(f"/v1/batches/{batch_id}").json()["status"]) not in OVER:
            assert time.monotonic() < deadline, f"still {status}"
            time.sleep(0.1)
    assert status == "completed_successfully"
