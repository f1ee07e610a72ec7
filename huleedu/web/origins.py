"""Whose requests are answered: those for this server, from programs and from its own pages.

A browser sends whatever a page of any site tells it to, also to this machine.  What it says of the
page (Origin, Sec-Fetch-Site) and of the name that was asked for (Host) cannot be forged by a page.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from huleedu.core.logging import create_service_logger
from huleedu.web.hosts import AllowedHosts, Host, host_in
from huleedu.web.problems import send_problem

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""They change nothing, so that it does not matter who sends them: a page cannot read the answer."""
_OWN_PAGES = frozenset({"same-origin", "none"})
"""Sec-Fetch-Site of a page of this server, and of what a person opened or typed."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SHOWN_CHARACTERS = 80

_LOG = create_service_logger("web")


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    detail: str


class OwnRequestsOnly:
    """ASGI middleware that answers 400 or 421 for a wrong Host, 403 for a page of another site."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before anything else looks at it."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        refusal = refused(scope, self._hosts)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        _LOG.warning("http_refused", status=refusal.status, reason=refusal.detail)
        await send_problem(refusal.status, refusal.detail, scope, receive, send)


def refused(scope: HTTPScope, hosts: AllowedHosts) -> Refusal | None:
    """Return why a request is not to be answered, or None."""
    headers = _headers(scope)
    given = headers.get("host", ())
    server = scope["server"]
    host = host_fault(given, hosts, None if server is None else server[0])
    if isinstance(host, Refusal):
        return host
    return None if scope["method"] in SAFE_METHODS else _foreign(headers, host)


def host_fault(
    given: Sequence[str], hosts: AllowedHosts, local_address: str | None
) -> Host | Refusal:
    """Return the host that the Host headers of a request name, or why it is not answered.

    ``local_address`` is the one that the connection came to.
    """
    if len(given) != 1:
        return Refusal(400, f"the request has {len(given)} headers Host; expected one")
    host = host_in(given[0])
    shown = given[0][:_SHOWN_CHARACTERS]
    if host is None:
        return Refusal(400, f"the header Host is {shown!r}; expected a name or an address")
    if hosts.allow(host, local_address):
        return host
    return Refusal(
        421,
        f"this server does not answer to the Host {shown!r}. If that is a name of this server, "
        f"add {host.name!r} to the setting allowed_hosts (HULEEDU_ALLOWED_HOSTS) and restart it",
    )


def _foreign(headers: Mapping[str, Sequence[str]], host: Host) -> Refusal | None:
    for origin in headers.get("origin", ()):
        if not _is_own(origin, host):
            shown = origin[:_SHOWN_CHARACTERS]
            return Refusal(403, f"a page of another site ({shown!r}) may not change anything here")
    for site in headers.get("sec-fetch-site", ()):
        if site.strip().lower() not in _OWN_PAGES:
            return Refusal(403, "a page of another site may not change anything here")
    return None


def _is_own(origin: str, host: Host) -> bool:
    """Tell whether an origin is this server.  Its scheme is a proxy's that takes TLS off."""
    scheme, _, authority = origin.strip().lower().partition("://")
    theirs, default = host_in(authority), _DEFAULT_PORTS.get(scheme)
    if theirs is None or default is None or theirs.name != host.name:
        return False
    return theirs.port == host.port or {theirs.port, host.port} == {None, default}


def _headers(scope: HTTPScope) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found
