"""Another role that goes away at a bad moment."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import httpx
import uvloop

from huleedu.web.peer import peer_http

CALLERS, CALLS = 20, 50


@contextmanager
def resetting() -> Iterator[str]:
    """A server that resets every connection at once; its address."""
    with socket.create_server(("127.0.0.1", 0), backlog=500) as server:

        def reset() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # it is closed
                    return
                with connection:
                    no_lingering = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)

        accepting = threading.Thread(target=reset)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()


def test_a_connection_that_is_gone_at_once_is_an_error_of_the_connection() -> None:
    """Whenever the peer resets it: that is an error as if nobody listened, not a bug of ours."""

    async def call(http: httpx.AsyncClient, url: str) -> None:
        for _ in range(CALLS):
            try:
                await http.get(url)
            except httpx.TransportError:
                continue
            raise AssertionError("nobody answers there")

    async def main() -> None:
        with resetting() as url:
            async with peer_http() as http, anyio.create_task_group() as tasks:
                for _ in range(CALLERS):
                    tasks.start_soon(call, http, url)

    uvloop.run(main())
