"""What every request gets: a correlation id, a log line, metrics, security headers."""

import re
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import structlog
from litestar import Request
from litestar.enums import ScopeType
from litestar.exceptions import LitestarException
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from huleedu.core.logging import create_service_logger
from huleedu.core.metrics import HTTP_REQUESTS, HTTP_SECONDS
from huleedu.core.platform import Platform

_LOG = create_service_logger("web")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked for every few seconds by probes and scrapers: not worth a line each.
_QUIET_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})
_CORRELATION_ID: ContextVar[UUID | None] = ContextVar("correlation_id", default=None)


def correlation_id_of(request: Request[Any, Any, Any]) -> UUID:
    """Return the id under which all that follows from ``request`` is told.

    It is the caller's ``X-Correlation-ID`` if that is a valid uuid, else a new one.
    """
    found: UUID = request.scope["state"]["correlation_id"]
    return found


def current_correlation_id() -> UUID | None:
    """Return the correlation id of the request being answered; None outside of one."""
    return _CORRELATION_ID.get()


def client_is_gone(scope: Scope) -> bool:
    """Return whether the caller hung up before its request was complete."""
    return bool(scope["state"].get("client_gone", False))


class RequestContext:
    """ASGI middleware around the whole application, so that even a 404 passes through it."""

    def __init__(self, app: ASGIApp, platform: Platform) -> None:
        self._app = app
        self._platform = platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; anything but HTTP passes through untouched."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        correlation_id = _from_header(scope) or self._platform.ids.new()
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        token = _CORRELATION_ID.set(correlation_id)
        started = self._platform.clock.monotonic()
        answer = _Answer(scope, receive, send, correlation_id)
        with structlog.contextvars.bound_contextvars(correlation_id=str(correlation_id)):
            try:
                await self._app(scope, answer.receive, answer.send)
            except LitestarException:
                # Raised only when the answer had begun: all that is left is to break it off.
                _LOG.exception("http_answer_broken_off", **_told(scope))
                raise
            finally:
                _CORRELATION_ID.reset(token)
                _record(scope, answer.status, self._platform.clock.monotonic() - started)


class _Answer:
    """The ASGI channels of one request, watched."""

    def __init__(
        self, scope: HTTPScope, receive: Receive, send: Send, correlation_id: UUID
    ) -> None:
        self.status: int | None = None
        self._scope = scope
        self._receive = receive
        self._send = send
        self._correlation_id = correlation_id
        self._request_complete = False

    async def receive(self) -> Any:
        event = await self._receive()
        if event["type"] == "http.request" and not event.get("more_body", False):
            self._request_complete = True
        elif event["type"] == "http.disconnect" and not self._request_complete:
            self._scope["state"]["client_gone"] = True
        return event

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message["headers"])
            headers += _headers(headers, self._correlation_id)
            message["headers"] = headers
        await self._send(message)


def _headers(given: list[tuple[bytes, bytes]], correlation_id: UUID) -> list[tuple[bytes, bytes]]:
    """Return what is missing; what a route said itself (a page's own policy) stays."""
    said = {name.lower(): value for name, value in given}
    wanted = {
        b"x-correlation-id": str(correlation_id).encode(),
        b"x-content-type-options": b"nosniff",
        b"referrer-policy": b"no-referrer",
        b"cache-control": b"no-store",
    }
    if not said.get(b"content-type", b"").startswith(b"text/html"):
        wanted[b"content-security-policy"] = b"default-src 'none'; frame-ancestors 'none'"
    return [(name, value) for name, value in wanted.items() if name not in said]


def _from_header(scope: HTTPScope) -> UUID | None:
    for name, value in scope["headers"]:
        if name.lower() == b"x-correlation-id":
            text = value.decode("latin-1").strip()
            return UUID(text) if _UUID.fullmatch(text) else None
    return None


def _told(scope: HTTPScope) -> dict[str, str]:
    """Return method and route template: a fixed set of values, whatever is asked for."""
    method = scope["method"] if scope["method"] in _METHODS else "other"
    return {"method": method, "route": scope.get("path_template") or "unmatched"}


def _record(scope: HTTPScope, status: int | None, seconds: float) -> None:
    told = _told(scope)
    # Without a status the request was cancelled, or died before it had an answer.
    status_text = str(status) if status is not None else "none"
    HTTP_REQUESTS.labels(**told, status=status_text).inc()
    HTTP_SECONDS.labels(**told).observe(seconds)
    write = _LOG.debug if told["route"] in _QUIET_ROUTES else _LOG.info
    write("http_request", **told, status=status, seconds=round(seconds, 6))
