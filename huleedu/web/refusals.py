"""Refusals that are final: said by the role that was asked, in a form that no other answer has.

A proxy without a backend, a wrong URL and another role of ours answer 404 too, and that heals.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
from litestar import Request, Response

from huleedu.core.errors import HuleEduError
from huleedu.web.problems import PROBLEM, problem, status_of

Handler = Callable[[Request[Any, Any, Any], HuleEduError], Response[dict[str, object]]]


def final(kind: str) -> Handler:
    """Return what answers an error with a problem of the type ``kind``, a URN of ours.

    It says what it is about by the request's own path parameters, as ``storage_id``.
    """

    def answer(request: Request[Any, Any, Any], error: HuleEduError) -> Response[dict[str, object]]:
        status = status_of(error)
        about: dict[str, Any] = dict(request.path_params)
        title = HTTPStatus(status).phrase
        return problem(status, title, str(error), type=kind, code=error.code, **about)

    return answer


def is_final(answer: httpx.Response, kind: str, **about: str) -> bool:
    """Tell whether a peer's answer is a refusal of this kind, about exactly this."""
    if answer.headers.get("content-type") != PROBLEM:
        return False
    try:
        told = msgspec.json.decode(answer.content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return told.items() >= {"type": kind, "status": answer.status_code, **about}.items()
