"""Servers that answer as others do: proxies, login pages, the wrong role, a broken connection."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream

HTML = b"<html><head><title>Log in</title></head><body>Please log in.</body></html>"
PROBLEM = "application/problem+json"


def said(
    status: str,
    body: bytes = b"",
    media_type: str = "text/html",
    length: int | None = None,
    *more: str,
) -> bytes:
    """Return an answer as bytes; ``length`` is what it announces, where that is not true."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body) if length is None else length}",
        *more,
    ]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def problem(status: int, /, **more: object) -> bytes:
    told = {"type": "about:blank", "title": "Not Found", "status": status, "detail": "Not Found"}
    return said(f"{status} Refused", json.dumps(told | more).encode(), PROBLEM)


OTHERS: Mapping[str, bytes] = {
    "a proxy without a backend": said("404 Not Found", b"404 page not found\n", "text/plain"),
    "a web server's 404": said("404 Not Found", HTML),
    "another role of ours": problem(404),
    "a role of ours that knows other things": problem(404, code="RESOURCE_NOT_FOUND"),
    "something of another kind that is not there": problem(404, type="urn:huleedu:essay-unknown"),
    "a 404 of JSON that is no problem": said("404 Not Found", b'{"error": 1}', "application/json"),
    "a 404 of broken JSON": said("404 Not Found", b'{"type":', PROBLEM),
    "a 404 of a list": said("404 Not Found", b"[]", PROBLEM),
    "a 404 of brackets": said("404 Not Found", b"[" * 100_000, PROBLEM),
    "a page of brackets": said("200 OK", b'{"x":' * 100_000, "application/json"),
    "a 404 in another encoding": said("404 Not Found", b'{"type": "\xff"}', PROBLEM),
    "a page that is gone": said("410 Gone", HTML),
    "a login page": said("200 OK", HTML),
    "JSON of somebody else": said("200 OK", b'{"status": "ok"}', "application/json"),
    "an empty page": said("200 OK"),
    "nothing": said("204 No Content"),
    "a page that was made": said("201 Created", HTML),
    "a redirect": said("302 Found", HTML, "text/html", None, "Location: /login"),
    "a redirect for good": said("301 Moved", b"", "text/html", None, "Location: https://x/"),
    "another method": said("405 Method Not Allowed", HTML),
    "a request that a proxy dislikes": said("400 Bad Request", HTML),
    "a name that is not that server's": problem(421),
    "a proxy that wants to know who asks": said("407 Proxy Authentication Required", HTML),
    "a proxy's own limit": said("413 Request Entity Too Large", HTML),
    "a conflict of somebody else": said("409 Conflict", HTML),
    "a bad gateway": said("502 Bad Gateway", HTML),
    "an answer that broke off": said("200 OK", b"half", "application/octet-stream", 10),
    "something that is not HTTP": b"SSH-2.0-OpenSSH_9.2p1\r\n",
}
"""Who answers → what it says."""


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """Answer every request with these bytes while the block lasts; yields the URL."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(answer)

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.cancel_scope.cancel()
