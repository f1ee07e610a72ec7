"""Requests as h11 reads them, held to what else RFC 9112 asks of a server and to our bounds."""

import re
from typing import Any

import h11

HEAD_BYTES_MAX = 16_384
"""Request line and headers together."""
HEADERS_MAX = 100
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)([^#]*)", re.IGNORECASE)


class RequestReader(h11.Connection):
    """The server's side of a connection, which refuses what h11 lets pass.

    ``next_event`` raises ``h11.RemoteProtocolError`` with the status to answer; ``refusal`` is then
    what it raised, and nothing further must be read.  A request whose target is a whole URL is
    returned with its path, and the URL's host as Host.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES_MAX)
        self.refusal: h11.RemoteProtocolError | None = None
        self.is_head = False
        """Whether the last request was a HEAD, whose answer has no body."""

    def next_event(self) -> Any:
        """Return the next event; raises as said above."""
        try:
            before = self._unread()
            event = super().next_event()
            if not isinstance(event, h11.Request):
                return event
            self.is_head = event.method == b"HEAD"
            # What arrives comes in between calls: what is gone is the head.
            _check(event, before - self._unread())
            return _in_origin_form(event)
        except h11.RemoteProtocolError as error:
            self.refusal = error
            raise

    def _unread(self) -> int:
        return len(self.trailing_data[0])


def _check(request: h11.Request, head_bytes: int) -> None:
    if head_bytes > HEAD_BYTES_MAX:
        raise _refusal(431, f"the request's line and headers are over {HEAD_BYTES_MAX} bytes")
    if len(request.headers) > HEADERS_MAX:
        raise _refusal(431, f"the request has over {HEADERS_MAX} headers")
    if not request.http_version.startswith(b"1."):
        version = request.http_version.decode("ascii")
        raise _refusal(505, f"the request is of HTTP/{version}; expected HTTP/1.1")
    names = {name for name, _ in request.headers}
    if b"transfer-encoding" in names:
        # Whoever stands between may have gone by the other one, and have seen other requests.
        if b"content-length" in names:
            raise _refusal(400, "the request has a Content-Length and a Transfer-Encoding")
        if request.http_version == b"1.0":
            raise _refusal(400, "the request has a Transfer-Encoding, which HTTP/1.0 does not know")


def _in_origin_form(request: h11.Request) -> h11.Request:
    """Return the request with a path as its target; ``*`` stays where it is allowed."""
    target = request.target
    if target.startswith(b"/") or (target == b"*" and request.method == b"OPTIONS"):
        return request
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or request.method == b"CONNECT":
        raise _refusal(400, "the target of the request is neither a path nor an http URL")
    host, rest = absolute[1], absolute[2]
    others = [(name, value) for name, value in request.headers if name != b"host"]
    return h11.Request(
        method=request.method,
        target=rest if rest.startswith(b"/") else b"/" + rest,
        headers=[(b"host", host), *others],
        http_version=request.http_version,
    )


def _refusal(status: int, detail: str) -> h11.RemoteProtocolError:
    return h11.RemoteProtocolError(detail, error_status_hint=status)
