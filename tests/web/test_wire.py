"""Requests as bytes on a socket: what HTTP/1.1 asks of a server, and where ours stops listening."""

import json
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.abc import SocketStream
from litestar import get

from huleedu.app import running_roles
from huleedu.core.roles import ROLES
from huleedu.core.settings import Settings
from huleedu.results.http import ClosingStream
from huleedu.web.request_reader import HEAD_BYTES_MAX, HEADERS_MAX
from tests.app.fake_transport import FakeTransport
from tests.support.asgi import ask, routes_of
from tests.support.http import served
from tests.web.support import application

pytestmark = pytest.mark.anyio
GET = b"GET /healthz HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n\r\n"


@dataclass(frozen=True)
class Answers:
    """What came back until the server closed: the status of each answer, and all bytes."""

    statuses: Sequence[int]
    raw: bytes


async def exchange(*pieces: bytes) -> Answers:
    """Send these pieces, one packet each, and read until the server closes."""
    async with served(application()) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        stream = await anyio.connect_tcp(host, int(port))
        async with stream:
            for piece in pieces:
                await stream.send(piece)
            raw = await all_of(stream)
    return Answers([int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", raw)], raw)


async def all_of(stream: SocketStream) -> bytes:
    heard = b""
    with anyio.fail_after(20):
        async for part in stream:
            heard += part
    return heard


def padded(length: int) -> bytes:
    """A request whose line and headers are so many bytes together."""
    head = GET + HOST + b"X: "
    return head + b"x" * (length - len(head) - len(b"\r\n" + CLOSE)) + b"\r\n" + CLOSE


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (padded(HEAD_BYTES_MAX), 200),
        (padded(HEAD_BYTES_MAX + 1), 431),
        (padded(17_000), 431),
        (padded(70_000), 431),
        (padded(1_000_000), 431),
        (b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\n" + HOST + CLOSE, 431),
        (GET + HOST + b"X:" + b" " * 17_000 + b"x\r\n" + CLOSE, 431),
        (GET + HOST + b"a: b\r\n" * (HEADERS_MAX - 2) + CLOSE, 200),
        (GET + HOST + b"a: b\r\n" * (HEADERS_MAX - 1) + CLOSE, 431),
        (GET + HOST + b"a: b\r\n" * 10_000 + CLOSE, 431),
    ],
    ids=lambda value: str(value if isinstance(value, int) else len(value)),
)
@pytest.mark.parametrize("pieces", [1, 7])
async def test_a_head_is_bounded_however_it_arrives(
    request_bytes: bytes, status: int, pieces: int
) -> None:
    """Request line and headers together, in one packet or in several."""
    step = len(request_bytes) // pieces + 1
    answers = await exchange(
        *(request_bytes[start : start + step] for start in range(0, len(request_bytes), step))
    )

    assert answers.statuses == [status]


async def test_the_bound_is_each_requests_own() -> None:
    """Neither the request before nor a body counts."""
    body = b'"' + b"x" * 40_000 + b'"'
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    post = b"POST /v1/echo HTTP/1.1\r\n" + HOST + JSON + length + body
    answers = await exchange(post + post + padded(HEAD_BYTES_MAX))

    assert answers.statuses == [201, 201, 200]


SMUGGLED = b"GET /v1/things/smuggled HTTP/1.1\r\n" + HOST + CLOSE
CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"
POST = b"POST /v1/echo HTTP/1.1\r\n" + HOST + JSON


@pytest.mark.parametrize(
    "head",
    [
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 12\r\n\r\n",
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n",
        POST + b"Content-Length: 2, 3\r\n\r\n",
        POST + b"Content-Length: +2\r\n\r\n",
        POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Transfer-Encoding: chunked\r\n\r\n",
        POST + b"Host: localhost\r\n\r\n",
        POST.replace(HOST, b"") + b"\r\n",
        POST.replace(HOST, b"").replace(b"HTTP/1.1", b"HTTP/1.0") + b"Connection: close\r\n\r\n",
        POST + b"X : y\r\n\r\n",
        POST + b"\x00\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET * HTTP/1.1\r\n" + HOST + CLOSE,
        b"GET ftp://localhost/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http:///healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        b"CONNECT localhost:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
    ids=str,
)
async def test_what_two_readers_could_take_differently_is_refused_and_closed(head: bytes) -> None:
    """400, and nothing behind it is taken for a request."""
    answers = await exchange(head + CHUNKS + SMUGGLED)

    assert answers.statuses == [400]
    assert b"smuggled" not in answers.raw


async def test_a_transfer_encoding_that_we_do_not_know_is_refused_and_closed() -> None:
    answers = await exchange(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS + SMUGGLED)

    assert answers.statuses == [501]


async def test_a_refusal_is_a_problem_that_says_why() -> None:
    """And is marked as the last answer of its connection."""
    answers = await exchange(padded(17_000))
    head, _, body = answers.raw.partition(b"\r\n\r\n")

    assert b"connection: close" in head.lower()
    assert b"content-type: application/problem+json" in head.lower()
    told = json.loads(body)
    assert (told["status"], told["type"]) == (431, "about:blank")
    assert f"{HEAD_BYTES_MAX}" in told["detail"]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET http://localhost/healthz HTTP/1.1", 200),
        (b"GET HTTP://LocalHost:5000/healthz HTTP/1.1", 200),
        (b"GET https://localhost/v1/things/a?page=2 HTTP/1.1", 200),
        (b"GET http://localhost HTTP/1.1", 404),
        (b"GET http://localhost?x HTTP/1.1", 404),
        (b"GET http://evil.example/healthz HTTP/1.1", 421),
        (b"GET http://a@localhost/healthz HTTP/1.1", 400),
        (b"OPTIONS * HTTP/1.1", 204),
        (b"OPTIONS /healthz HTTP/1.1", 204),
        (b"HEAD /healthz HTTP/1.1", 200),
        (b"HEAD /nowhere HTTP/1.1", 404),
        (b"HEAD /v1/echo HTTP/1.1", 405),
        (b"GET /healthz HTTP/1.0", 200),
        (b"GET /healthz HTTP/1.9", 200),
        (b"GET /healthz HTTP/9.9", 505),
        (b"GET /healthz HTTP/2.0", 505),
        (b"GET /healthz HTTP/0.9", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"HEAD /healthz HTTP/9.9", 505),
        (b"HEAD nonsense HTTP/1.1", 400),
    ],
    ids=str,
)
async def test_what_http_asks_of_every_server(line: bytes, status: int) -> None:
    answers = await exchange(line + b"\r\n" + HOST + CLOSE)

    assert answers.statuses == [status]


async def test_the_target_names_the_host_where_both_do() -> None:
    """As RFC 9112 3.2.2 has it; an address behind it is the one that is read."""
    answers = await exchange(
        b"GET http://localhost/v1/things/a HTTP/1.1\r\nHost: evil.example\r\n" + CLOSE
    )

    assert answers.statuses == [200]
    assert b'"thing":"a"' in answers.raw


async def test_a_refusal_reaches_who_is_still_sending() -> None:
    """Closing at once would make the system discard the answer that is on its way."""
    async with served(application()) as url:
        port = int(url.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(padded(3_000_000))
            answer = await all_of(stream)

    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_a_stream_that_never_ends_answers_a_head_and_is_closed() -> None:
    """Nobody is left behind who goes on sending to nobody."""
    closed = anyio.Event()

    @get("/endless")
    async def endless() -> ClosingStream:
        async def events() -> AsyncGenerator[bytes, None]:
            try:
                while True:
                    yield b"data: tick"
                    await anyio.sleep(0.05)
            finally:
                closed.set()

        return ClosingStream(events(), "text/event-stream", {})

    async with served(application([endless])) as url, httpx.AsyncClient() as client:
        answer = await client.head(f"{url}/endless")
        with anyio.fail_after(10):
            await closed.wait()
        again = await client.get(f"{url}/healthz")

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert again.status_code == 200


async def test_every_route_that_is_read_answers_a_head_too(tmp_path: Path) -> None:
    """As to GET and without a body; nothing else answers it."""
    answering = [name for name, role in ROLES.items() if role.answers]
    headers = [("Host", "localhost")]
    async with running_roles(
        Settings(data_dir=tmp_path), answering, connect=FakeTransport().connect
    ) as running:
        for one in running.applications.values():
            routes = routes_of(one)
            for path in {path for _, path in routes}:
                head = await ask(one, "HEAD", path, headers)
                assert head.body == b""
                if ("GET", path) in routes:
                    got = await ask(one, "GET", path, headers)
                    assert (head.status, head.headers.keys()) == (got.status, got.headers.keys())
                else:
                    assert head.status == 405
