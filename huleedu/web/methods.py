"""Methods that every server answers and no route names: HEAD, and OPTIONS for the whole server."""

from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

_TAKEN = b"GET, HEAD, OPTIONS, POST"


class EveryMethod:
    """ASGI middleware that answers HEAD as GET without a body, and ``OPTIONS *`` by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
        elif scope["method"] == "HEAD":
            await self._head(scope, receive, send)
        elif scope["method"] == "OPTIONS" and scope["path"] == "*":
            await _answer_empty(send, 204, [(b"allow", _TAKEN)])
        else:
            await self._app(scope, receive, send)

    async def _head(self, scope: Any, receive: Receive, send: Send) -> None:
        asked: Any = {**scope, "method": "GET"}

        async def send_head(message: Message) -> None:
            # With its head the answer is complete, so that a stream behind it ends too.
            if message["type"] == "http.response.start":
                await _answer_empty(send, message["status"], list(message["headers"]))

        try:
            await self._app(asked, receive, send_head)
        finally:
            scope["path_template"] = asked.get("path_template")  # for the log and the metrics


async def _answer_empty(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
