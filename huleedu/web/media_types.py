"""What a request must say of its body: JSON comes as ``application/json``, on every route.

The page of another site can have a browser send text or a form without asking, but not JSON.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler

JSON = "application/json"
NOT_JSON: Mapping[str, Any] = MappingProxyType({"takes_json": False})
"""``opt=NOT_JSON``: for a route whose bodies are something else, which it checks itself."""


def must_be_json(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a request pass to a route of ours, as a guard of Litestar's.

    Raises ``HTTPException`` 415 for a body whose Content-Type is not ``application/json`` in UTF-8.
    """
    if not handler.opt.get("takes_json", True) or not _has_body(connection):
        return
    given = connection.headers.getall("content-type", [])
    if len(given) != 1 or not _is_json(given[0]):
        shown = ", ".join(given)[:80] or "nothing"
        raise HTTPException(
            f"the Content-Type of the body is {shown!r}; expected {JSON}, in UTF-8",
            status_code=415,
        )


def _has_body(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    headers = connection.headers
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


def _is_json(content_type: str) -> bool:
    media_type, *parameters = content_type.split(";")
    charsets = [
        value.strip(' "').lower()
        for name, _, value in (one.partition("=") for one in parameters)
        if name.strip().lower() == "charset"
    ]
    return media_type.strip().lower() == JSON and set(charsets) <= {"utf-8", "utf8"}
