"""Applications behind a real socket, and what may go wrong in front of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from litestar import Litestar

from huleedu.core.clock import SystemClock
from huleedu.web.server import serve


class NotedPauses(SystemClock):
    """Notes how long it was to sleep instead of sleeping."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await anyio.lowlevel.checkpoint()


class Front:
    """Stands before an application and spoils its first answers, as told, one after another.

    A number is a status to answer with, "hang" keeps the caller waiting, "reset" breaks off.
    """

    def __init__(self, application: Any, spoiled: Sequence[int | str] = ()) -> None:
        self._application = application
        self._spoiled = list(spoiled)
        self.asked: list[tuple[str, str, dict[bytes, bytes]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append((scope["method"], scope["path"], dict(scope["headers"])))
        match self._spoiled.pop(0) if self._spoiled else "well":
            case "well":
                await self._application(scope, receive, send)
            case "hang":
                await anyio.sleep_forever()
            case "reset":
                headers = [(b"content-length", b"10")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": b"half", "more_body": False})
            case status:
                headers = [(b"retry-after", b"2")] if status == 503 else []
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": b"spoiled"})


@asynccontextmanager
async def served(application: Litestar | Front, port: int = 0) -> AsyncIterator[str]:
    """Answer on a port of this machine while the block lasts; yields the URL."""
    stop, listening = anyio.Event(), anyio.Event()
    ports: list[int] = []

    def on_listening(bound: int) -> None:
        ports.append(bound)
        listening.set()

    async def run() -> None:
        await serve(
            application,  # type: ignore[arg-type]
            host="127.0.0.1",
            port=port,
            stop=stop,
            stop_seconds=0.1,
            on_listening=on_listening,
        )

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await listening.wait()
        yield f"http://127.0.0.1:{ports[0]}"
        stop.set()
