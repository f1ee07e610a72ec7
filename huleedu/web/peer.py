"""Asking another role over HTTP: bounded in time, patient with what may heal."""

from collections.abc import Mapping

import anyio
import httpx
import structlog

from huleedu.core.errors import Misconfigured, PeerUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.transport.failures import pause_seconds

TIMEOUT = httpx.Timeout(10.0, connect=2.0)
"""Seconds for each step of a request: far more than a role in good health needs."""
ATTEMPT_SECONDS_MAX = 30.0
"""For all steps together: an answer that trickles ends too."""
ATTEMPTS_MAX = 4
"""About a second in all, while a role restarts; whoever asks waits longer where it can."""
RETRY_AFTER_SECONDS_MAX = 5.0
_DETAIL_CHARACTERS_MAX = 200

_logger = create_service_logger("peer")


class Peer:
    """Another role of this deployment, asked what may be asked twice."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        platform: Platform,
        *,
        name: str,
        url: str,
        setting: str,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """``setting`` is where ``url`` comes from.  Raises ``Misconfigured`` for one that is none.

        ``http`` should be made by :func:`peer_http`.
        """
        self._http = http
        self._platform = platform
        self._name = name
        self._setting = setting
        self._url = _checked(url, setting)
        self._headers = dict(headers or {})

    async def ask(self, method: str, path: str, *, content: bytes | None = None) -> httpx.Response:
        """Return the answer, be it an error of ours (4xx).

        No connection, no answer in time, 429 and 5xx are tried again up to ``ATTEMPTS_MAX`` times,
        after growing pauses or the seconds of Retry-After.  Raises ``PeerUnavailable``.
        """
        attempt = 1
        while True:
            wait = 0.0
            try:
                with anyio.fail_after(ATTEMPT_SECONDS_MAX):
                    answer = await self._http.request(
                        method, self._url + path, content=content, headers=self._headers | _story()
                    )
                if answer.status_code != httpx.codes.TOO_MANY_REQUESTS and not (
                    answer.is_server_error
                ):
                    return answer
                trouble = f"answers {answer.status_code} to {method} {path}: {_detail(answer)}"
                wait = _retry_after(answer)
                cause: Exception | None = None
            except (httpx.RequestError, TimeoutError) as error:
                trouble, cause = f"does not answer ({type(error).__name__}: {error})", error
            if attempt == ATTEMPTS_MAX:
                raise self._unavailable(trouble) from cause
            _logger.debug("peer_asked_again", peer=self._name, attempt=attempt, trouble=trouble)
            pause = pause_seconds(attempt, self._platform.random)
            await self._platform.clock.sleep(max(pause, wait))
            attempt += 1

    def unexpected(self, answer: httpx.Response, *, detail: str | None = None) -> PeerUnavailable:
        """Return the error for an answer that this peer does not give: somebody else's, for now.

        ``detail`` stands in for what was said, where that may be an essay.
        """
        request = answer.request
        return self._unavailable(
            f"answers {answer.status_code} to {request.method} {request.url.path}, which is not "
            f"what it should say: {_detail(answer) if detail is None else detail}"
        )

    def _unavailable(self, trouble: str) -> PeerUnavailable:
        return PeerUnavailable(f"the {self._name} at {self._url} ({self._setting}) {trouble}")


def peer_http() -> httpx.AsyncClient:
    """Return a client for asking peers: never through a proxy, never redirected."""
    return httpx.AsyncClient(
        transport=_Connecting(trust_env=False),
        timeout=TIMEOUT,
        trust_env=False,
        follow_redirects=False,
    )


class _Connecting(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except AttributeError as error:
            # anyio asks a new connection for its socket; one that the peer has closed by then has
            # none under uvloop (a peer that was killed at that moment).
            if error.obj is not None:
                raise
            raise httpx.ConnectError("the connection was closed at once") from error


def _checked(url: str, setting: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Misconfigured(f"{setting} is {url!r}, which is no URL: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Misconfigured(f"{setting} is {url!r}; http://HOST:PORT is meant")
    return url.rstrip("/")


def _story() -> dict[bytes, bytes]:
    """Return the header by which the peer's log joins the story that this one is telling."""
    found = structlog.contextvars.get_contextvars().get("correlation_id")
    return {} if found is None else {b"X-Correlation-ID": str(found).encode()}


def _retry_after(answer: httpx.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    # Digits only: the form with a date is not worth two clocks that agree.
    return min(float(text), RETRY_AFTER_SECONDS_MAX) if text.isdecimal() else 0.0


def _detail(answer: httpx.Response) -> str:
    return answer.text[:_DETAIL_CHARACTERS_MAX] or "(nothing)"
