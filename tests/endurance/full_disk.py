"""A small file system that is really full: 503, no damage, and all is well when there is room."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.crash.process import HuleeduProcess
from tests.crash.verdict import damage
from tests.endurance.report import Finding
from tests.support.classes import register_and_upload, registration, texts, wait_until_over

DISK = "16m"
SECONDS_MAX = 60.0
REQUESTS_MAX = 2_000


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Mount a tmpfs of 16 MiB; raises ``PermissionError`` where that is not ours to do."""
    directory.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(directory)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise PermissionError(mounted.stderr.strip())
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def check_full_disk(directory: Path) -> Finding:
    """Fill the disk of a running program by its own work and by a file, then make room."""
    with small_disk(directory / "disk") as disk:
        ballast = disk / "ballast"
        data_dir = disk / "data"
        server = HuleeduProcess(data_dir, directory / "log.jsonl")
        server.start()
        try:
            faults, accepted, refused = _fill(server.url, ballast)
            ballast.unlink()
            faults += _use_again(server.url, accepted)
            code = server.stop()
        finally:
            if server.is_running:
                server.kill()
        if code:
            faults.append(f"it ended with {code}")
        faults += damage(data_dir)
    seen = f"{DISK} tmpfs: {len(accepted)} accepted, {refused} refused, all there afterwards"
    return Finding("full disk", seen, faults)


def _fill(url: str, ballast: Path) -> tuple[list[str], list[str], int]:
    """Hand in until nothing is taken any more; return faults, what was accepted, and refusals."""
    faults: list[str] = []
    accepted = [register_and_upload(url)]
    wait_until_over(url, accepted[0])
    refused = 0
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(b"x" * 65_536)
                file.flush()
        except OSError:
            pass  # full
    with httpx.Client(base_url=url, timeout=SECONDS_MAX) as client:
        for _ in range(REQUESTS_MAX):
            body = registration(1, essay_instructions="Write. " * 1_000)
            answer = client.post("/v1/batches/register", json=body)
            if answer.status_code == 202:
                accepted.append(answer.json()["batch_id"])
                continue
            refused += 1
            if answer.status_code != 503 or "Retry-After" not in answer.headers:
                faults.append(f"refused with {answer.status_code}: {answer.text[:200]}")
            if refused == 10:
                break
        else:
            faults.append(f"not full after {REQUESTS_MAX} requests")
        if client.get("/healthz").status_code != 200:
            faults.append("it does not live any more")
    return faults, accepted, refused


def _use_again(url: str, accepted: list[str]) -> list[str]:
    """Return what does not work although there is room again."""
    faults: list[str] = []
    deadline = time.monotonic() + SECONDS_MAX
    with httpx.Client(base_url=url, timeout=SECONDS_MAX) as client:
        while client.get("/readyz").status_code != 200:
            if time.monotonic() > deadline:
                reasons = client.get("/readyz").text
                return [f"not ready {SECONDS_MAX:g} s after there was room: {reasons}"]
            time.sleep(0.1)
        for batch_id in accepted:
            if client.get(f"/v1/batches/{batch_id}").status_code != 200:
                faults.append(f"{batch_id} was accepted and is lost")
        for batch_id in accepted[1:3]:
            form = {"batch_id": batch_id}
            parts = [("files", file) for file in texts(1)]
            answer = client.post("/v1/files/batch", data=form, files=parts)
            while answer.status_code in {404, 503} and time.monotonic() < deadline:
                time.sleep(0.2)
                answer = client.post("/v1/files/batch", data=form, files=parts)
            status = wait_until_over(url, batch_id) if answer.status_code == 202 else answer.text
            if status != "completed_successfully":
                faults.append(f"{batch_id}: {status}")
    return faults
