"""Bodies and addresses that are too much, however they are sent: refused, nearly for free."""

import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from huleedu.web.targets import TARGET_BYTES_MAX
from tests.crash.process import HuleeduProcess
from tests.endurance.report import Finding
from tests.support.classes import register_and_upload, registration

MEBIBYTE = 2**20
GROWTH_MAX = 32 * MEBIBYTE
BODY_BYTES = 200 * MEBIBYTE
SLOW_CALLERS = 300
TARGETS = 1_100
"""More than the framework remembers."""
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'

Send = Callable[[str], int]
"""Sends something to the server at this address; returns the status of the answer, 0 for none."""


def _chunked(path: str, head: bytes, headers: Mapping[str, str]) -> Send:
    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(BODY_BYTES // MEBIBYTE):
            yield b"x" * MEBIBYTE

    return lambda url: _status(url + path, pieces(), headers)


def _status(url: str, body: Iterator[bytes] | bytes, headers: Mapping[str, str]) -> int:
    try:
        return httpx.post(url, content=body, headers=headers, timeout=60).status_code
    except httpx.TransportError:
        return 0  # it was answered before all was sent, and the connection closed


def _announced(url: str) -> int:
    """Announce a body, and send its first byte."""
    with _connection(url) as caller:
        head = "POST /v1/batches/register HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {BODY_BYTES}\r\n\r\n{{"
        caller.sendall(head.encode())
        return int(caller.recv(100).split()[1])


def _connection(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((str(parts.hostname), int(parts.port or 0)), 60)


def _many_parts(url: str) -> int:
    body = b"".join(PART % (b"essay_id", b"e%d" % n) for n in range(3_000)) + b"--b--\r\n"
    return _status(f"{url}/v1/files/batch", body, FORM)


def _targets(length: int) -> Send:
    """Ask for addresses of so many bytes, each its own, that fall into most parts."""

    def send(url: str) -> int:
        with httpx.Client(base_url=url, timeout=60) as client:
            every = [f"/v1/batches?limit=1&n={n}{length * '&a'}"[:length] for n in range(TARGETS)]
            answers = {client.get(target).status_code for target in every}
        return answers.pop() if len(answers) == 1 else 0

    return send


def _slow_callers(url: str) -> int:
    """Hold hundreds of half requests, and ask in earnest beside them."""
    with ExitStack() as stack:
        for _ in range(SLOW_CALLERS):
            caller = stack.enter_context(_connection(url))
            caller.sendall(b"POST /v1/batches/register HTTP/1.1\r\nHost: localhost\r\nX: ")
        answer = httpx.post(f"{url}/v1/batches/register", json=registration(1), timeout=60)
        ended = caller.recv(100)  # patience has an end
    return 408 if answer.status_code == 202 and ended.startswith(b"HTTP/1.1 408") else 0


HOSTILE: Mapping[str, tuple[Send, set[int]]] = {
    "JSON of 200 MB, announced": (_announced, {413}),
    "JSON of 200 MB in chunks": (
        _chunked("/v1/batches/register", b'{"a": "', {"Content-Type": "application/json"}),
        {413, 0},
    ),
    "a form of 200 MB in chunks": (_chunked("/v1/files/batch", FILE, FORM), {413, 0}),
    "a form of 3,000 parts": (_many_parts, {413}),
    f"{TARGETS} long addresses": (_targets(12_000), {414}),
    f"{TARGETS} addresses as long as may be": (_targets(TARGET_BYTES_MAX), {200}),
    "300 slow callers": (_slow_callers, {408}),
}
"""What is sent, and how it may be answered."""


def check_bodies(directory: Path, names: Collection[str] = HOSTILE) -> Finding:
    """Send these of them to a program that has done some work, and look at its memory."""
    server = HuleeduProcess(directory / "data", directory / "log.jsonl")
    server.start()
    faults, growths = [], []
    try:
        register_and_upload(server.url)
        for name in names:
            send, allowed = HOSTILE[name]
            # From here on the kernel notes the highest anew (Linux, proc(5)).
            Path(f"/proc/{server.pid}/clear_refs").write_text("5")
            before = _highest_memory(server.pid)
            status = send(server.url)
            growths.append(_highest_memory(server.pid) - before)
            if status not in allowed:
                faults.append(f"{name}: answered {status}")
            if growths[-1] > GROWTH_MAX:
                faults.append(f"{name}: memory grew by {growths[-1] // MEBIBYTE} MiB")
            if _alive(server.url) != 200:
                faults.append(f"{name}: it does not answer any more")
    finally:
        server.kill()
    seen = f"{len(names)} kinds, memory grew by {max(growths) / MEBIBYTE:.0f} MiB at most"
    return Finding("hostile bodies", seen, faults)


def _highest_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1_024


def _alive(url: str) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = httpx.get(f"{url}/healthz", timeout=60)
        if answer.status_code == 200:
            return 200
        time.sleep(0.1)
    return answer.status_code
