"""A server's answers of 4xx and 5xx, as errors that say what was wrong in words."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from huleedu.core.errors import (
    Conflict,
    HuleEduError,
    NotFound,
    PeerUnavailable,
    Rejected,
    TooLarge,
)

_KINDS: Mapping[int, type[Rejected]] = {404: NotFound, 409: Conflict, 413: TooLarge}


def refusal_of(response: httpx.Response) -> HuleEduError:
    """Return the error that an answer means; its body must have been read.

    4xx: ``Rejected`` or a subclass, the same again will be refused again; else ``PeerUnavailable``.
    """
    status = response.status_code
    told = _told(response)
    if status >= 500:
        return PeerUnavailable(f"the server failed ({status}): {told}")
    return _KINDS.get(status, Rejected)(told)


def _told(response: httpx.Response) -> str:
    try:
        body = msgspec.json.decode(response.content)
    except (msgspec.MsgspecError, UnicodeError):
        body = None
    if not isinstance(body, dict):
        return f"{_phrase(response.status_code)}, with no word on why"
    said = body.get("detail") or body.get("error") or _phrase(response.status_code)
    told = "\n".join([str(said), *_faults(body.get("details")), *_faults(body.get("errors"))])
    correlation_id = body.get("correlation_id") if response.status_code >= 500 else None
    return f"{told} (correlation id {correlation_id})" if correlation_id else told


def _faults(faults: Any) -> list[str]:
    """Return a line for each fault of a registration, or for what a problem lists."""
    if not isinstance(faults, list):
        return []
    return [f"  - {_fault(fault)}" for fault in faults]


def _fault(fault: Any) -> str:
    if not isinstance(fault, dict):
        return str(fault)
    where = _place(fault.get("loc")) or str(fault.get("key") or "")
    message = str(fault.get("msg") or fault.get("message") or fault)
    return f"{where}: {message}" if where else message


def _place(loc: Any) -> str:
    """Return ``essay_ids[3]`` for ``["essay_ids", 3]``."""
    if not isinstance(loc, list):
        return ""
    place = ""
    for part in loc:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    return place


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status {status}"
