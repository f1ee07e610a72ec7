"""Metrics on a port of their own, for a scraper that must not reach the API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from huleedu.core.errors import Misconfigured
from huleedu.core.hops import Hops


@asynccontextmanager
async def serve_metrics(
    host: str, port: int, hops: Hops, registry: CollectorRegistry = REGISTRY
) -> AsyncIterator[int]:
    """Answer scrapes on ``host`` while the context lasts; yields the port, the real one for 0.

    A thread answers, so that a scrape never waits for the event loop.  Raises ``Misconfigured``
    when the address cannot be listened on.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise Misconfigured(
            f"cannot serve metrics on {host} port {port} (PROMETHEUS_PORT): {error.strerror}"
        ) from error
    try:
        yield server.server_port
    finally:
        with anyio.CancelScope(shield=True):
            await hops.thread(server.shutdown)
        server.server_close()
        thread.join()
