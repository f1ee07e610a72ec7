"""Metrics may have a port of their own."""

import socket

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from huleedu.core.errors import Misconfigured
from huleedu.core.hops import ThreadHops
from huleedu.web.hosts import AllowedHosts
from huleedu.web.metrics_port import serve_metrics

pytestmark = pytest.mark.anyio


async def test_a_scrape_is_answered_while_the_context_lasts() -> None:
    """The port tells the registry's metrics, and is free again afterwards."""
    registry = CollectorRegistry()
    Counter("things_total", "Things.", registry=registry).inc(3)
    async with (
        serve_metrics("127.0.0.1", 0, ThreadHops(), AllowedHosts(), registry) as port,
        httpx.AsyncClient() as client,
    ):
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")

    assert "things_total 3.0" in answer.text
    with socket.socket() as again, pytest.raises(ConnectionRefusedError):
        again.connect(("127.0.0.1", port))


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("10.1.2.3:9090", 200), ("evil.example", 421), ("evil,localhost", 400)],
)
async def test_a_scrape_by_a_name_that_is_not_ours_is_refused(host: str, status: int) -> None:
    """As everywhere: a page whose name points here reads nothing."""
    async with (
        serve_metrics("127.0.0.1", 0, ThreadHops(), AllowedHosts(), CollectorRegistry()) as port,
        httpx.AsyncClient() as client,
    ):
        answer = await client.get(f"http://127.0.0.1:{port}/metrics", headers={"Host": host})

    assert answer.status_code == status


async def test_a_port_in_use_is_told() -> None:
    """The operator reads which port, and which setting chose it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=rf"port {port} \(PROMETHEUS_PORT\)"):
            async with serve_metrics("127.0.0.1", port, ThreadHops(), AllowedHosts()):
                pass
