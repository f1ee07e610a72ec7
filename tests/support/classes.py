"""Handing in small classes over HTTP, from outside of the program."""

import time
import uuid
from collections.abc import Mapping, Sequence

import httpx

WAIT_SECONDS = 60.0
OVER = {"completed_successfully", "completed_with_failures", "failed_critically", "cancelled"}


def registration(essays: int, **more: object) -> Mapping[str, object]:
    """Return the body of a registration."""
    body = {
        "expected_essay_count": essays,
        "essay_ids": [f"essay-{number:02}" for number in range(1, essays + 1)],
        "course_code": "ENG5",
        "class_designation": "9A",
        "essay_instructions": "Write.",
    }
    return {**body, **more}


def texts(essays: int, words: int = 50) -> Sequence[tuple[str, bytes]]:
    """Return files that all differ: (name, content)."""
    mark = uuid.uuid4().hex
    return [
        (f"essay-{number:02}.txt", f"{mark}\n{'There was a hous once. ' * (words // 5)}".encode())
        for number in range(1, essays + 1)
    ]


def register_and_upload(url: str, essays: int = 1) -> str:
    """Register a class, upload its texts, and return its batch id."""
    with httpx.Client(base_url=url, timeout=WAIT_SECONDS) as client:
        answer = client.post("/v1/batches/register", json=registration(essays))
        assert answer.status_code == 202, answer.text
        batch_id: str = answer.json()["batch_id"]
        parts = [("files", file) for file in texts(essays)]
        answer = client.post("/v1/files/batch", data={"batch_id": batch_id}, files=parts)
        assert answer.status_code == 202, answer.text
    return batch_id


def wait_until_over(url: str, batch_id: str, seconds: float = WAIT_SECONDS) -> str:
    """Return the status in which the batch ended; raises ``AssertionError`` when it does not."""
    deadline = time.monotonic() + seconds
    with httpx.Client(base_url=url, timeout=WAIT_SECONDS) as client:
        while (status := client.get(f"/v1/batches/{batch_id}").json()["status"]) not in OVER:
            assert time.monotonic() < deadline, f"{batch_id} is still {status}"
            time.sleep(0.05)
    return str(status)
