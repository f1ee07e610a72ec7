"""The content store over HTTP, for roles of this deployment only."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from huleedu.content.answers import DIFFERENT, TOO_LARGE, UNKNOWN
from huleedu.content.identity import content_bytes_max
from huleedu.content.store import DifferentContent
from huleedu.core.errors import Misconfigured, NotFound, TooLarge
from huleedu.core.ids import StorageId
from huleedu.core.ports import ContentClient
from huleedu.core.settings import Limits
from huleedu.web.body import read_body
from huleedu.web.media_types import NOT_JSON
from huleedu.web.problems import problem
from huleedu.web.refusals import final

AnyRequest = Request[Any, Any, Any]
Gate = Callable[[AnyRequest], Awaitable[Response[Any] | None]]


def routes(content: ContentClient, role_secret: str, limits: Limits) -> list[HTTPRouteHandler]:
    """Return ``POST /v1/content`` and ``GET /v1/content/{id}``.

    Both ask for ``Authorization: Bearer <role_secret>``.  Raises ``Misconfigured`` for an empty
    secret, with which the texts would be open to everyone.
    """
    gate = _gate(role_secret)
    bytes_max = content_bytes_max(limits)

    @post(
        "/v1/content",
        status_code=201,
        before_request=gate,
        exception_handlers={DifferentContent: final(DIFFERENT), TooLarge: final(TOO_LARGE)},
        opt=NOT_JSON,
        request_max_body_size=None,  # read_body counts, whatever Content-Length says
        summary="Store a content",
        tags=["content"],
    )
    async def store_content(request: AnyRequest) -> dict[str, str]:
        """Store the body, raw bytes, and return its id."""
        return {"storage_id": await content.put(await read_body(request, bytes_max))}

    @get(
        "/v1/content/{storage_id:str}",
        before_request=gate,
        exception_handlers={NotFound: final(UNKNOWN)},
        summary="Read a content",
        tags=["content"],
    )
    async def read_content(storage_id: FromPath[str]) -> Response[bytes]:
        """Return the bytes as they were stored; nothing guesses at their type."""
        return Response(
            await content.get(StorageId(storage_id)),
            media_type="application/octet-stream",
            headers={
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "private, max-age=31536000, immutable",
            },
        )

    return [store_content, read_content]


def _gate(role_secret: str) -> Gate:
    """Return the check that comes before a request's body is read."""
    if not role_secret:
        raise Misconfigured("role_secret is empty: the content store would be open to everyone")
    expected = role_secret.encode()

    async def gate(request: AnyRequest) -> Response[Any] | None:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return problem(
                401,
                "Unauthorized",
                "The content store is for roles of this deployment; show the role secret.",
                headers={"WWW-Authenticate": 'Bearer realm="huleedu content"'},
            )
        # Constant time: how long it takes tells nothing about the secret.  Latin-1 gives the
        # header's own bytes back.
        if not hmac.compare_digest(shown.strip().encode("latin-1"), expected):
            return problem(403, "Forbidden", "This is not the role secret of this deployment.")
        return None

    return gate
