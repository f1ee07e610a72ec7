"""One request to an application, with exactly the headers that are given."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from litestar import Litestar
from litestar.routes import HTTPRoute

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """What an application answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The answer as ``application/problem+json``; fails where it is none."""
        assert self.headers["content-type"] == "application/problem+json", self
        told: dict[str, Any] = json.loads(self.body)
        return told


async def ask(
    application: Litestar,
    method: str,
    target: str,
    headers: Headers,
    body: bytes = b"",
    *,
    local_address: str = "127.0.0.1",
) -> Answer:
    """Send one request past every HTTP client and server: nothing is added to its headers."""
    path, _, query = target.partition("?")
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50_000),
        "server": (local_address, 5000),
        "state": {},
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)  # type: ignore[arg-type]
    start, *rest = sent
    return Answer(
        start["status"],
        {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in rest),
    )


def routes_of(application: Litestar) -> list[tuple[str, str]]:
    """Return method and path of every route of an application; each parameter is ``x``."""
    return [
        (method, route.path_format.replace("{", "").replace("}", ""))
        for route in application.routes
        if isinstance(route, HTTPRoute)
        for method in sorted(route.methods)
    ]
