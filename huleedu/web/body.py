"""JSON from a request's body, within limits."""

from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from huleedu.core.errors import Rejected, TooLarge
from huleedu.core.settings import Limits
from huleedu.web.request import client_is_gone


class MalformedBody(Rejected):
    """The request's body is not what its route takes."""


async def read_json(request: Request[Any, Any, Any], limits: Limits) -> object:
    """Return the decoded JSON body: dict, list, str, int, float, bool or None.

    Raises :class:`MalformedBody` when there is none, when it is not JSON in UTF-8 or when it nests
    deeper than ``limits.json_depth``; ``TooLarge`` past ``limits.json_body_bytes``.
    """
    return json_in(await read_body(request, limits.json_body_bytes), limits)


def json_in(body: bytes, limits: Limits) -> object:
    """Return the decoded JSON of a body that was read; raises as :func:`read_json`."""
    if not body.strip():
        raise MalformedBody("the request has no body; it must be JSON")
    try:
        value: object = msgspec.json.decode(body)
    except RecursionError as error:
        raise _too_deep(limits) from error
    except UnicodeError as error:
        raise MalformedBody("the request body is not valid JSON: it is not UTF-8") from error
    except msgspec.MsgspecError as error:
        raise MalformedBody(f"the request body is not valid JSON: {error}") from error
    if _nests_deeper(value, limits.json_depth):
        raise _too_deep(limits)
    return value


async def read_body(request: Request[Any, Any, Any], bytes_max: int) -> bytes:
    """Return the whole body.  Counts what arrives; what the headers announce proves nothing.

    Raises ``TooLarge`` past ``bytes_max`` (or the route's own ``request_max_body_size``), and
    :class:`MalformedBody` when the caller hangs up half-way.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > bytes_max:
                raise TooLarge(f"the request body is over {bytes_max} bytes")
    except RequestEntityTooLarge as error:
        raise TooLarge(f"the request body is over {bytes_max} bytes") from error
    except InternalServerException as error:
        if not client_is_gone(request.scope):
            raise
        raise MalformedBody("the request ended before its body did") from error
    return bytes(body)


def _too_deep(limits: Limits) -> MalformedBody:
    return MalformedBody(f"the request body nests deeper than {limits.json_depth} levels")


def _nests_deeper(value: object, depth_max: int) -> bool:
    level = [value]
    for _ in range(depth_max):
        level = [
            child
            for container in level
            if isinstance(container, dict | list)
            for child in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return False
    return any(isinstance(child, dict | list) for child in level)
