"""Whoever is too slow to ask is not waited for; whoever is slow but comes on, is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from litestar import Request, get, post

from huleedu.web.media_types import NOT_JSON
from huleedu.web.server import serve
from huleedu.web.slow_requests import Patience
from tests.web.support import application

pytestmark = pytest.mark.anyio

PATIENCE = Patience(head_seconds=1.5, body_seconds=1.5, body_bytes_per_second=100)


@post("/upload", request_max_body_size=None, opt=NOT_JSON)
async def upload(request: Request[Any, Any, Any]) -> int:
    return len(await request.body())


@get("/quick")
async def quick() -> str:
    return "done"


@asynccontextmanager
async def connections() -> AsyncIterator[list[SocketStream]]:
    """Two connections to a server without much patience."""
    listening, stop = anyio.Event(), anyio.Event()
    ports: list[int] = []

    def heard(port: int) -> None:
        ports.append(port)
        listening.set()

    async def run() -> None:
        await serve(
            application([upload, quick]),
            host="127.0.0.1",
            port=0,
            stop=stop,
            stop_seconds=1,
            on_listening=heard,
            patience=PATIENCE,
        )

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        with anyio.fail_after(50):
            await listening.wait()
            opened = [await anyio.connect_tcp("127.0.0.1", ports[0]) for _ in range(2)]
            yield opened
            for stream in opened:
                await stream.aclose()
        stop.set()


async def drip(stream: SocketStream, drops: bytes, seconds: float) -> bytes:
    """Send a byte now and then until the other side closes; return what it said."""
    heard = b""

    async def send() -> None:
        with suppress(anyio.BrokenResourceError):
            for drop in drops:
                await stream.send(bytes([drop]))
                await anyio.sleep(seconds)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        # What it has not read any more makes the close a reset.
        with suppress(anyio.BrokenResourceError):
            async for part in stream:
                heard += part
        tasks.cancel_scope.cancel()
    return heard


async def said(stream: SocketStream, end: bytes) -> bytes:
    """Return an answer that ends so."""
    heard = b""
    while not heard.endswith(end):
        heard += await stream.receive()
    return heard


async def test_a_head_that_drips_is_ended() -> None:
    """Bytes now and then do not keep a connection, nor does one that says nothing at all."""
    async with connections() as (dripping, silent):
        heard = await drip(dripping, b"GET /quick HTTP/1.1\r\nX: " + b"x" * 500, 0.1)
        said = await drip(silent, b"", 0)

    assert heard.startswith(b"HTTP/1.1 408 ")
    assert said.startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_drips_is_ended() -> None:
    """A body must come on at a pace that gets somewhere."""
    head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    async with connections() as (stream, _):
        await stream.send(head)
        heard = await drip(stream, b"x" * 500, 0.1)

    assert heard.startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_comes_on_is_waited_for() -> None:
    """An upload may take longer than that, and many requests may share one connection."""
    pieces, piece = 30, b"x" * 1_000
    length = pieces * len(piece)
    head = f"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    answers: list[bytes] = []
    async with connections() as (uploading, asking):
        await uploading.send(head.encode())
        for _ in range(pieces):
            await uploading.send(piece)
            await asking.send(b"GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answers.append(await said(asking, b"done"))
            await anyio.sleep(0.1)
        uploaded = await said(uploading, b"30000")

    assert uploaded.startswith(b"HTTP/1.1 201 ")
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
