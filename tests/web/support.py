"""An application with routes that fail in every way, and a client on the same event loop."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from litestar import Request, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Stream
from litestar.types import ControllerRouterHandler
from prometheus_client import REGISTRY, CollectorRegistry

from huleedu.core.errors import (
    Conflict,
    Misconfigured,
    NotFound,
    Rejected,
    StoreUnavailable,
    TooLarge,
)
from huleedu.core.settings import Limits
from huleedu.web.application import Application, Readiness, build_application
from huleedu.web.body import read_json
from huleedu.web.request import correlation_id_of
from tests.support.simulated import simulated_platform

FAILURES: dict[str, Exception] = {
    "rejected": Rejected("that is wrong"),
    "not-found": NotFound("there is no such thing"),
    "not-yet": NotFound("there is no such thing yet", retry_after_seconds=0.2),
    "conflict": Conflict("it is closed"),
    "too-large": TooLarge("over 10 bytes"),
    "unavailable": StoreUnavailable("the disk is full"),
    "misconfigured": Misconfigured("secret place"),
    "bug": ZeroDivisionError("secret detail"),
}


@get("/v1/things/{thing_id:str}")
async def read_thing(
    thing_id: FromPath[str], request: Request[Any, Any, Any], page: FromQuery[int] = 1
) -> Any:
    """Fail as asked."""
    if thing_id in FAILURES:
        raise FAILURES[thing_id]
    return {"thing": thing_id, "page": page, "correlation_id": str(correlation_id_of(request))}


@get("/broken-stream")
async def read_broken_stream() -> Stream:
    """Fail after the answer has begun."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"begun"
        raise ZeroDivisionError("too late for a status")

    return Stream(parts())


@get("/page", media_type="text/html")
async def read_page() -> str:
    """Answer a page."""
    return "<p>page</p>"


def application(
    routes: Sequence[ControllerRouterHandler] = (),
    limits: Limits | None = None,
    readiness: Readiness | None = None,
    registry: CollectorRegistry | None = None,
    held_up: Sequence[str] = (),
) -> Application:
    limits = limits or Limits()

    @post("/v1/echo")
    async def echo(request: Request[Any, Any, Any]) -> Any:
        return {"heard": await read_json(request, limits)}

    return build_application(
        [read_thing, read_broken_stream, read_page, echo, *routes],
        platform=simulated_platform(),
        limits=limits,
        readiness=readiness,
        held_up=lambda: held_up,
        registry=registry or REGISTRY,
    )


@asynccontextmanager
async def client_of(app: Application, raises: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client on this event loop; its bodies are sent as JSON, whatever they are."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=raises)
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://localhost",
        headers={"Content-Type": "application/json"},
    ) as client:
        yield client
