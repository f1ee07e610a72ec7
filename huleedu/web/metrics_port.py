"""Metrics on a port of their own, for a scraper that must not reach the API."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import anyio
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from huleedu.core.errors import Misconfigured
from huleedu.core.hops import Hops
from huleedu.web.hosts import AllowedHosts, host_in
from huleedu.web.origins import Refusal, host_fault


@asynccontextmanager
async def serve_metrics(
    host: str,
    port: int,
    hops: Hops,
    hosts: AllowedHosts,
    registry: CollectorRegistry = REGISTRY,
) -> AsyncIterator[int]:
    """Answer scrapes on ``host`` while the context lasts; yields the port, the real one for 0.

    Only ``hosts`` are answered to, and any IP address, as a scraper finds a pod.
    A thread answers, so that a scrape never waits for the event loop.  Raises ``Misconfigured``
    when the address cannot be listened on.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise Misconfigured(
            f"cannot serve metrics on {host} port {port} (PROMETHEUS_PORT): {error.strerror}"
        ) from error
    metrics = server.get_app()
    assert metrics is not None, "it was made with one"
    server.set_app(_for_hosts(hosts, metrics))
    try:
        yield server.server_port
    finally:
        with anyio.CancelScope(shield=True):
            await hops.thread(server.shutdown)
        server.server_close()
        thread.join()


def _for_hosts(hosts: AllowedHosts, metrics: WSGIApplication) -> WSGIApplication:
    def answer(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        text = environment.get("HTTP_HOST")
        given = [] if text is None else [text]
        named = host_in(text or "")
        # Which address the connection came to is not known here.  Any will do: a page is loaded
        # from its origin's address, only its name can be made to point elsewhere.
        found = host_fault(given, hosts, None if named is None else named.name)
        if not isinstance(found, Refusal):
            return metrics(environment, start)
        start(f"{found.status} {HTTPStatus(found.status).phrase}", [("Content-Type", "text/plain")])
        return [found.detail.encode()]

    return answer
