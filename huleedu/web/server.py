"""The HTTP server, as a task of ours: our signals, our deadline, our log."""

import asyncio
import errno
import math
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import anyio
import uvicorn
from litestar import Litestar

from huleedu.core.errors import Misconfigured
from huleedu.web.connection import Connection
from huleedu.web.slow_requests import Patience, SlowRequests

CONNECTIONS_MAX = 800
"""Further requests are answered 503; below the 1,024 open files that many systems allow."""
KEEP_ALIVE_SECONDS = 15
_AFTER_CANCEL_SECONDS = 1.0
_TICKS_PER_LOOK = 10


async def serve(
    application: Litestar,
    *,
    host: str,
    port: int,
    stop: anyio.Event,
    stop_seconds: float,
    on_listening: Callable[[int], None] = lambda _port: None,
    patience: Patience = Patience(),  # noqa: B008 - it cannot change
) -> None:
    """Answer requests until ``stop`` is set; then finish those in hand and return.

    ``on_listening`` is called with the port, the real one when ``port`` is 0, once connections are
    taken.  After ``stop`` no connection is taken, and what is not answered within
    ``stop_seconds`` is cut off.  Give ``stop`` to every stream without an end of its own too: it is
    what tells it to end.  A request that does not arrive within ``patience`` is answered 408.

    Raises ``Misconfigured`` when the address cannot be listened on.
    """
    listener = await _bind(host, port)
    config = uvicorn.Config(
        application,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        # Else asyncio may start a request in the context, and with the log fields, of another.
        reset_contextvars=True,
        timeout_graceful_shutdown=math.ceil(stop_seconds),
    )
    slow = SlowRequests(patience)
    server = _Server(config, stop, slow, lambda: on_listening(listener.getsockname()[1]))
    try:
        await server.serve(sockets=[listener])
    finally:
        with anyio.CancelScope(shield=True):
            await server.cut_off()
        listener.close()


class _Server(uvicorn.Server):
    """Uvicorn stopped by an event instead of by signal handlers of its own."""

    def __init__(
        self,
        config: uvicorn.Config,
        stop: anyio.Event,
        slow: SlowRequests,
        on_started: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._stop = stop
        self._slow = slow
        self._on_started = on_started
        self.servers = []

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell when connections are taken."""
        await super().startup(sockets=sockets)
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether to stop; each second, for requests that are slow."""
        if counter % _TICKS_PER_LOOK == 0:
            self._slow.end(_counted(self.server_state.connections), anyio.current_time())
        self.should_exit = self.should_exit or self._stop.is_set()
        return await super().on_tick(counter)

    async def cut_off(self) -> None:
        """Close whatever a stop in order did not: listeners, connections, requests."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_AFTER_CANCEL_SECONDS)


def _counted(connections: Iterable[object]) -> Iterable[Connection]:
    return (one for one in connections if isinstance(one, Connection))


async def _bind(host: str, port: int) -> socket.socket:
    """Return a socket on ``host``, IPv4 where it has both.  Raises ``Misconfigured``."""
    try:
        found = await anyio.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise Misconfigured(f"cannot listen on {host}: no such address ({error})") from error
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise Misconfigured(_why_not(host, port, error)) from error
    return listener


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use by another process: stop that one, or choose "
            "another port with --port"
        )
    return f"cannot listen on {host} port {port}: {error.strerror}"
