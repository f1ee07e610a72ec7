"""How long the address of a request may be."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from huleedu.web.problems import send_problem

TARGET_BYTES_MAX = 768
"""Path and query as sent; ours have 450 at most.  Litestar remembers the last 1,024 paths and
queries, taken apart: 1,100 of 60 kB cost 240 MiB, and at this length below 32 (measured)."""


class BoundedTargets:
    """ASGI middleware that refuses a longer address with 414, before anything looks at it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != ScopeType.HTTP or _target_bytes(scope) <= TARGET_BYTES_MAX:
            await self._app(scope, receive, send)
            return
        detail = f"the address of the request is over {TARGET_BYTES_MAX} bytes"
        await send_problem(414, detail, scope, receive, send)


def _target_bytes(scope: Scope) -> int:
    # Without the raw path, which a server may leave out, the decoded one.
    path = scope.get("raw_path") or scope["path"].encode()
    query = scope["query_string"]
    return len(path) + len(query) + bool(query)  # and the question mark
