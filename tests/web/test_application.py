"""Every application tells whether it lives, whether it can work, and what it has done."""

from collections.abc import Sequence

import pytest
from litestar import Request, post
from prometheus_client import CollectorRegistry, Counter

from huleedu.core.settings import Limits
from tests.web.support import application, client_of

pytestmark = pytest.mark.anyio


async def test_alive_is_not_ready() -> None:
    """A process that cannot work lives on, and says every reason until it can."""
    reasons: Sequence[str] = ["the store is read-only", "the relay died"]

    async def readiness() -> Sequence[str]:
        return reasons

    async with client_of(application(readiness=readiness)) as client:
        alive = await client.get("/healthz")
        troubled = await client.get("/readyz")
        reasons = []
        healed = await client.get("/readyz")

    assert alive.status_code == 200
    assert troubled.status_code == 503
    assert troubled.json() == {
        "status": "not ready",
        "reasons": ["the store is read-only", "the relay died"],
    }
    assert (healed.status_code, healed.json()) == (200, {"status": "ready"})


async def test_what_waits_alone_is_named_and_no_reason() -> None:
    """Single messages that wait to be tried again do not make the program not ready."""
    async with client_of(application(held_up=["one essay waits"])) as client:
        answer = await client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "held_up": ["one essay waits"]}


async def test_metrics_are_told_in_prometheus_form() -> None:
    """A scrape gets every metric of the registry as text."""
    registry = CollectorRegistry()
    Counter("things_total", "Things.", registry=registry).inc(3)
    async with client_of(application(registry=registry)) as client:
        answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    assert "things_total 3.0" in answer.text


async def test_the_api_describes_itself_without_foreign_scripts() -> None:
    """/openapi.json lists every route, and no page loads a viewer from elsewhere."""
    async with client_of(application()) as client:
        answer = await client.get("/openapi.json")
        viewers = [
            await client.get(path) for path in ("/schema", "/schema/swagger", "/", "/openapi")
        ]

    paths = set(answer.json()["paths"])
    assert {"/v1/things/{thing_id}", "/v1/echo", "/healthz", "/readyz", "/metrics"} <= paths
    assert [viewer.status_code for viewer in viewers] == [404] * 4


async def test_a_route_may_take_more_than_others() -> None:
    """The limit of a body is the application's unless the route has its own."""

    @post("/small")
    async def small(request: Request) -> int:  # type: ignore[type-arg]
        return len(await request.body())

    @post("/large", request_max_body_size=100)
    async def large(request: Request) -> int:  # type: ignore[type-arg]
        return len(await request.body())

    limits = Limits(json_body_bytes=10, text_bytes=20)
    async with client_of(application([small, large], limits)) as client:
        statuses = [
            (await client.post(path, content=b"x" * size)).status_code
            for path, size in (("/small", 20), ("/small", 21), ("/large", 100), ("/large", 101))
        ]

    assert statuses == [201, 413, 201, 413]
