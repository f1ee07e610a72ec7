"""The server over real sockets: it listens where told, and stops in order and in time."""

import io
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
import structlog
from anyio.abc import SocketStream
from litestar import Request, get, post
from litestar.response import ServerSentEvent

from huleedu.core.background import BackgroundTasks
from huleedu.core.errors import Misconfigured, TaskDied
from huleedu.web import server
from huleedu.web.media_types import NOT_JSON
from huleedu.web.server import serve
from tests.support.eventually import eventually
from tests.web.support import application

pytestmark = pytest.mark.anyio


class Site:
    """A running server, the events that steer its routes, and whether it has returned."""

    def __init__(self) -> None:
        self.port = 0
        self.listening = anyio.Event()
        self.stop = anyio.Event()
        self.returned = anyio.Event()
        self.begun = anyio.Event()
        self.may_end = anyio.Event()

    def heard(self, port: int) -> None:
        self.port = port
        self.listening.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def run(self, stop_seconds: float) -> None:
        @get("/slow")
        async def slow() -> str:
            self.begun.set()
            await self.may_end.wait()
            return "done"

        @get("/stream")
        async def stream() -> ServerSentEvent:
            async def events() -> AsyncIterator[str]:
                yield "first"
                self.begun.set()
                await self.stop.wait()

            return ServerSentEvent(events())

        @post("/upload", request_max_body_size=None, opt=NOT_JSON)
        async def upload(request: Request[Any, Any, Any]) -> int:
            self.begun.set()
            return len(await request.body())

        await serve(
            application([slow, stream, upload]),
            host="127.0.0.1",
            port=0,
            stop=self.stop,
            stop_seconds=stop_seconds,
            on_listening=self.heard,
        )
        self.returned.set()


@asynccontextmanager
async def site(stop_seconds: float = 10) -> AsyncIterator[Site]:
    running = Site()
    async with anyio.create_task_group() as group:
        group.start_soon(running.run, stop_seconds)
        with anyio.fail_after(20):
            await running.listening.wait()
            yield running
        group.cancel_scope.cancel()


async def answer_to(stream: SocketStream) -> bytes:
    """Return all bytes until the other side closes."""
    heard = b""
    with anyio.fail_after(10):
        async for part in stream:
            heard += part
    return heard


async def test_port_0_tells_the_real_port_and_leaves_signals_alone() -> None:
    """The port that the system chose is told, and the handlers of signals stay ours."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with site() as running, httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.get("/healthz")
        during = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    assert running.port > 0
    assert answer.status_code == 200
    assert "server" not in answer.headers
    assert during == before


async def test_more_connections_than_are_allowed_are_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """503 at once, while those that were there first are answered."""
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 2)
    answers: list[int] = []
    async with site() as running, httpx.AsyncClient(base_url=running.url) as client:

        async def ask() -> None:
            answers.append((await client.get("/slow")).status_code)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await running.begun.wait()
            too_many = await client.get("/healthz")
            running.may_end.set()

    assert (too_many.status_code, answers) == (503, [200])


async def test_a_request_in_hand_is_finished_and_no_other_taken() -> None:
    """After stop the open request gets its answer; new connections are refused."""
    answers: list[httpx.Response] = []
    async with site() as running, httpx.AsyncClient(base_url=running.url) as client:

        async def ask() -> None:
            answers.append(await client.get("/slow"))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await running.begun.wait()
            running.stop.set()
            await eventually(lambda: refuses(running.port), bool)
            assert not running.returned.is_set()
            running.may_end.set()
        await running.returned.wait()

    (answer,) = answers
    assert (answer.status_code, answer.text) == (200, "done")


async def refuses(port: int) -> bool:
    try:
        stream = await anyio.connect_tcp("127.0.0.1", port)
    except OSError:
        return True
    await stream.aclose()
    return False


async def test_an_open_stream_ends_by_the_stop() -> None:
    """A stream that listens to the stop event does not hold the server up."""
    async with site(stop_seconds=3600) as running, httpx.AsyncClient(timeout=20) as client:
        async with client.stream("GET", running.url + "/stream") as answer:
            await running.begun.wait()
            running.stop.set()
            text = (await answer.aread()).decode()
        await running.returned.wait()

    assert "data: first" in text


async def test_what_does_not_end_in_time_is_cut_off(log: io.StringIO) -> None:
    """A request that outlives the deadline loses its connection, and the server returns."""
    broken: list[httpx.HTTPError] = []
    async with site(stop_seconds=1) as running, httpx.AsyncClient(timeout=20) as client:

        async def ask() -> None:
            try:
                answer = await client.get(running.url + "/slow")
                answer.raise_for_status()
            except httpx.HTTPError as error:
                broken.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await running.begun.wait()
            running.stop.set()
            await running.returned.wait()

    assert len(broken) == 1


async def test_idle_connections_do_not_hold_the_server_up() -> None:
    """One that only connected, one in mid-headers and one kept alive are all closed."""
    async with site(stop_seconds=3600) as running:
        silent = await anyio.connect_tcp("127.0.0.1", running.port)
        halfway = await anyio.connect_tcp("127.0.0.1", running.port)
        await halfway.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        async with httpx.AsyncClient(base_url=running.url) as client:
            await client.get("/healthz")
            running.stop.set()
            await running.returned.wait()
        assert await answer_to(silent) == b""
        await silent.aclose()
        await halfway.aclose()


async def test_a_port_in_use_is_told_with_what_to_do() -> None:
    """The operator reads that the port is taken, and how to choose another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"port {port} on 127.0.0.1 is in use.*--port"):
            await serve(
                application(), host="127.0.0.1", port=port, stop=anyio.Event(), stop_seconds=1
            )


@pytest.mark.parametrize("host", ["host.invalid", "192.0.2.1"])
async def test_an_address_that_is_not_ours_is_told(host: str) -> None:
    """A host that does not exist, or is another machine's, stops the start with its name."""
    with pytest.raises(Misconfigured, match=f"cannot listen on {host}"):
        await serve(application(), host=host, port=0, stop=anyio.Event(), stop_seconds=1)


async def test_a_caller_that_hangs_up_is_no_fault_of_ours(log: io.StringIO) -> None:
    """An upload that breaks off is told as the caller's, without a traceback."""
    async with site() as running:
        stream = await anyio.connect_tcp("127.0.0.1", running.port)
        head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        await stream.send(head + b"x" * 10)
        await running.begun.wait()
        await stream.aclose()

        async def logged() -> str:
            return log.getvalue()

        text = await eventually(logged, lambda seen: '"route": "/upload"' in seen)

    assert '"status": 400' in text
    assert "Traceback" not in text
    assert "http_request_failed" not in text
    assert '"exception"' not in text


async def test_a_dead_background_task_ends_the_server() -> None:
    """Not even a request that never ends keeps a process alive whose relay has died."""
    running = Site()

    async def process() -> None:
        async with BackgroundTasks(on_death=running.stop.set, linger_seconds=0.5) as tasks:
            tasks.start("relay", running.begun.wait)
            await running.run(3600)

    async def ask() -> None:
        await running.listening.wait()
        async with httpx.AsyncClient(base_url=running.url, timeout=20) as client:
            with pytest.raises(httpx.HTTPError):
                (await client.get("/slow")).raise_for_status()

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        with anyio.fail_after(20), pytest.raises(TaskDied, match="relay"):
            await process()

    assert await refuses(running.port)


async def test_a_request_starts_with_a_clean_context(log: io.StringIO) -> None:
    """Fields that were bound where the server was started are not told of its requests."""
    with structlog.contextvars.bound_contextvars(batch_id="of-another"):
        async with site() as running, httpx.AsyncClient(base_url=running.url) as client:
            await client.get("/v1/things/a")

    (line,) = [one for one in log.getvalue().splitlines() if '"http_request"' in one]
    assert "of-another" not in line


async def test_cancelling_the_server_leaves_nothing_open(log: io.StringIO) -> None:
    """A server that is cancelled instead of stopped frees its port and ends its requests."""
    running = Site()
    async with anyio.create_task_group() as group:
        group.start_soon(running.run, 3600)
        await running.listening.wait()
        idle = await anyio.connect_tcp("127.0.0.1", running.port)
        busy = await anyio.connect_tcp("127.0.0.1", running.port)
        await busy.send(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await running.begun.wait()
        group.cancel_scope.cancel()

    assert await refuses(running.port)
    assert '"route": "/slow", "status": null' in log.getvalue()
    for stream in (idle, busy):
        with anyio.fail_after(10), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stream.receive()
        await stream.aclose()
