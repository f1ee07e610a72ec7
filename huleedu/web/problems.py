"""Failures as answers: ``application/problem+json`` (RFC 9457), and which error is which status."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap, Receive, Scope, Send

from huleedu.core.errors import (
    Conflict,
    HuleEduError,
    NotFound,
    Rejected,
    TooLarge,
    Unavailable,
)
from huleedu.core.logging import create_service_logger
from huleedu.web.request import client_is_gone, current_correlation_id

PROBLEM = "application/problem+json"

_LOG = create_service_logger("web")
RETRY_AFTER_SECONDS = 5
"""What a 503 asks for when the error makes no promise of its own."""

_STATUS_OF = {NotFound: 404, Conflict: 409, TooLarge: 413, Rejected: 400, Unavailable: 503}


def problem(
    status: int,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **extra: object,
) -> Response[dict[str, object]]:
    """Return an answer of media type ``application/problem+json``.

    It says ``type`` (``about:blank`` unless given), ``title``, ``status``, ``detail`` and the
    request's ``correlation_id``; ``extra`` adds members, such as ``instance`` or ``errors``.
    """
    content: dict[str, object] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        **extra,
    }
    correlation_id = current_correlation_id()
    if correlation_id is not None:
        content["correlation_id"] = str(correlation_id)
    return Response(
        content,
        status_code=status,
        media_type=PROBLEM,
        headers=dict(headers or {}),
    )


async def send_problem(
    status: int, detail: str, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer a request that a middleware refuses."""
    answer = problem(status, HTTPStatus(status).phrase, detail)
    request: Request[Any, Any, Any] = Request(scope, receive, send)
    await answer.to_asgi_response(None, request)(scope, receive, send)


def exception_handlers() -> ExceptionHandlersMap:
    """Return how every exception that leaves a route is answered."""
    return {HuleEduError: _explained, HTTPException: _of_framework, Exception: _unexpected}


def status_of(error: HuleEduError) -> int:
    """Return the HTTP status of an error of the tree; 500 for one that no caller can help."""
    for kind in type(error).__mro__:
        if kind in _STATUS_OF:
            return _STATUS_OF[kind]
    return 500


def _explained(request: Request[Any, Any, Any], error: HuleEduError) -> Response[dict[str, object]]:
    status = status_of(error)
    if status == 500:
        return _unexpected(request, error)
    headers = {}
    seconds = error.retry_after_seconds
    if seconds is None and status == 503:
        seconds = RETRY_AFTER_SECONDS
    if seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    if status == 503:
        _LOG.warning("http_unavailable", reason=str(error), error_type=type(error).__name__)
    return problem(status, HTTPStatus(status).phrase, str(error), headers, code=error.code)


def _of_framework(
    request: Request[Any, Any, Any], error: HTTPException
) -> Response[dict[str, object]]:
    """Answer what Litestar itself refuses: no such route, method, parameter, form."""
    if client_is_gone(request.scope):  # nobody hears it, but it was no fault of ours
        return problem(400, "Bad Request", "the request ended before its body did")
    if error.status_code >= 500:
        return _unexpected(request, error)
    extra: dict[str, object] = {"errors": error.extra} if error.extra else {}
    return problem(
        error.status_code,
        HTTPStatus(error.status_code).phrase,
        error.detail,
        error.headers,
        **extra,
    )


def _unexpected(_request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, object]]:
    """Answer a fault of ours: the log tells it all, the caller only where to look."""
    _LOG.error("http_request_failed", exc_info=error)
    return problem(
        500,
        "Internal Server Error",
        "The server failed to answer; its log has the reason under this correlation id.",
    )
