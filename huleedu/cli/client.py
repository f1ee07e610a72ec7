"""A server of ours over HTTP: what ``check`` and ``batch`` both ask it for.

Every request may safely be sent again (reads, a registration under its Idempotency-Key, a file
whose text is known already), so whatever may heal is tried again for as long as patience lasts.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from httpx_sse import ServerSentEvent, SSEError, aconnect_sse

from huleedu.cli.answers import (
    ActionTaken,
    BatchPage,
    BatchResults,
    BatchStatus,
    Registered,
    Uploaded,
)
from huleedu.cli.failures import WrongUse
from huleedu.cli.inputs import EssayFile
from huleedu.cli.lazy_file import opened_when_read
from huleedu.cli.output import printable
from huleedu.cli.refusals import refusal_of
from huleedu.core.errors import NotFound, PeerUnavailable, Rejected, Unavailable
from huleedu.core.platform import Platform

PATIENCE_SECONDS = 30.0
"""How long a request that may yet succeed is tried again."""
UNKNOWN_SECONDS = 3.0
"""How long a batch may be unknown that was not registered by this very command."""
PAUSE_SECONDS_MAX = 5.0
TIMEOUTS = httpx.Timeout(connect=5.0, read=60.0, write=60.0, pool=None)
# A large upload is answered only once every file of it was read.
UPLOAD_TIMEOUTS = httpx.Timeout(connect=5.0, read=600.0, write=60.0, pool=None)
_HEAL = frozenset({429, 502, 503, 504})
_HEAL_WHEN_SAID = frozenset({404, 409})  # with Retry-After: not there yet, or still in flight

T = TypeVar("T")
OnRetry = Callable[[str, float], None]
"""Hears why a request is tried again, and for how many seconds at most."""


@dataclass(frozen=True)
class Registration:
    """A class of essays to be registered."""

    essay_ids: Sequence[str]
    course_code: str
    class_designation: str
    essay_instructions: str
    readiness_timeout_seconds: float | None = None
    expected_essay_count: int | None = None
    """None: as many as there are essay ids."""


@asynccontextmanager
async def connected(
    server: str,
    platform: Platform,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    on_retry: OnRetry = lambda _why, _seconds: None,
) -> AsyncIterator["ServerClient"]:
    """Speak to the server at a URL.  Raises ``WrongUse`` when it is none."""
    try:
        url = httpx.URL(server)
    except httpx.InvalidURL as error:
        raise WrongUse(f"{server!r} is no URL of a server ({error}). See --server.") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise WrongUse(f"{server!r} is no URL of a server. One is http://127.0.0.1:5000.")
    headers = {"X-Correlation-ID": str(platform.ids.new())}
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUTS, headers=headers) as http:
        yield ServerClient(http, platform, patience_seconds=patience_seconds, on_retry=on_retry)


class ServerClient:
    """What a server can be asked for.

    Every method raises ``Rejected`` (or ``NotFound``, ``Conflict``, ``TooLarge``) when the server
    refuses, ``PeerUnavailable`` when it does not answer or fails and patience ran out, and
    ``WrongUse`` when what answers is no server of ours.  ``on_retry`` hears of it, once a
    request.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        platform: Platform,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        on_retry: OnRetry = lambda _why, _seconds: None,
    ) -> None:
        self._http = http
        self._platform = platform
        self._patience_seconds = patience_seconds
        self._on_retry = on_retry

    async def register(self, registration: Registration, idempotency_key: str) -> Registered:
        """Register a batch; under the same key it is registered once, however often it is sent."""
        ids = list(registration.essay_ids)
        count = registration.expected_essay_count
        body: dict[str, Any] = {
            "expected_essay_count": len(ids) if count is None else count,
            "essay_ids": ids,
            "course_code": registration.course_code,
            "class_designation": registration.class_designation,
            "essay_instructions": registration.essay_instructions,
        }
        if registration.readiness_timeout_seconds is not None:
            body["readiness_timeout_seconds"] = registration.readiness_timeout_seconds
        headers = {"Idempotency-Key": idempotency_key}
        response = await self._ask(
            lambda: self._http.build_request(
                "POST", "/v1/batches/register", json=body, headers=headers
            )
        )
        return self._decoded(response.content, Registered)

    async def upload(
        self,
        batch_id: str,
        files: Sequence[EssayFile],
        essay_ids: Sequence[str] | None = None,
        *,
        is_new: bool = False,
    ) -> Uploaded:
        """Send files in one request, read while they are sent; as many ``essay_ids``, or None.

        ``is_new``: the batch was registered a moment ago, the server may not have heard of it.
        Raises ``Unreadable`` (a ``Rejected``) when a file cannot be read any more.
        """
        assert essay_ids is None or len(essay_ids) == len(files)
        fields = {"batch_id": batch_id, "essay_id": list(essay_ids or ())}

        def request() -> httpx.Request:
            parts = [("files", (printable(one.name), opened_when_read(one.path))) for one in files]
            return self._http.build_request(
                "POST", "/v1/files/batch", data=fields, files=parts, timeout=UPLOAD_TIMEOUTS
            )

        try:
            response = await self._ask(request, is_new=is_new)
        except OSError as error:
            raise Rejected(f"a file could not be read while it was sent: {error}") from error
        uploaded = self._decoded(response.content, Uploaded)
        if len(uploaded.files) != len(files):
            raise self._stranger(f"it tells of {len(uploaded.files)} of {len(files)} files")
        return uploaded

    async def batch(self, batch_id: str) -> tuple[bytes, BatchStatus]:
        """Return a batch as the orchestrator sees it: as it wrote it, and decoded."""
        document = await self.document(f"/v1/batches/{_in_path(batch_id)}")
        return document, self._decoded(document, BatchStatus)

    async def batch_if_known(self, batch_id: str) -> BatchStatus | None:
        """Return a batch as the orchestrator sees it; None where it does not know the batch."""
        try:
            return (await self.batch(batch_id))[1]
        except NotFound:
            return None

    async def act(
        self, batch_id: str, action: str, body: Mapping[str, str], idempotency_key: str
    ) -> tuple[bytes, ActionTaken]:
        """Have a batch ``extend``, ``proceed``, ``cancel`` or ``retry``, once under the same key.

        Returns the answer as the server wrote it, and decoded.  Raises ``Conflict`` where the
        batch's state does not allow it.
        """
        headers = {"Idempotency-Key": idempotency_key}
        path = f"/v1/batches/{_in_path(batch_id)}/{action}"
        response = await self._ask(
            lambda: self._http.build_request("POST", path, json=dict(body), headers=headers)
        )
        return response.content, self._decoded(response.content, ActionTaken)

    async def batches(
        self, limit: int, cursor: str | None, status: str | None
    ) -> tuple[bytes, BatchPage]:
        """Return a page of batches, newest first: as the server wrote it, and decoded."""
        asked = {"limit": limit, "cursor": cursor, "status": status}
        given = {name: value for name, value in asked.items() if value is not None}
        document = await self.document("/v1/batches", given)
        return document, self._decoded(document, BatchPage)

    async def results(self, batch_id: str, *, is_new: bool = False) -> tuple[bytes, BatchResults]:
        """Return a batch's results as they stand: as the server wrote them, and decoded."""
        document = await self.document(_results_path(batch_id), is_new=is_new)
        return document, self._decoded(document, BatchResults)

    async def results_file(self, batch_id: str, as_format: str) -> bytes:
        """Return a batch's results as ``csv``, or as a ``zip`` of texts, logs and the table."""
        return await self.document(_results_path(batch_id), {"format": as_format})

    async def document(
        self, path: str, parameters: Mapping[str, Any] | None = None, *, is_new: bool = False
    ) -> bytes:
        """Return the bytes of any answer."""
        response = await self._ask(
            lambda: self._http.build_request("GET", path, params=parameters), is_new=is_new
        )
        return response.content

    @asynccontextmanager
    async def events(
        self, batch_id: str, last_event_id: str | None
    ) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
        """Listen to what happens to a batch, after the last event that was seen; no retries.

        Entering and reading raise ``Unavailable`` when the stream cannot be had, or breaks.
        """
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        path = f"{_results_path(batch_id)}/events"
        try:
            async with aconnect_sse(self._http, "GET", path, headers=headers) as source:
                if source.response.status_code != 200:
                    raise Unavailable(f"no events: status {source.response.status_code}")
                yield source.aiter_sse()
        except (httpx.HTTPError, SSEError) as error:
            raise Unavailable(f"the stream of events broke: {error}") from error

    async def _ask(
        self, make: Callable[[], httpx.Request], *, is_new: bool = False
    ) -> httpx.Response:
        """Return the answer of 2xx to a request, which is made anew for every try."""
        started = self._platform.clock.monotonic()
        for tries in range(1_000_000):
            response: httpx.Response | None = None
            try:
                response = await self._http.send(make())
            except httpx.TransportError as error:
                failure: Exception = self._unreachable(error)
                pause = _growing_pause(tries)
            else:
                if response.is_success:
                    return response
                failure = refusal_of(response)
                pause = _pause_after(response, tries)
            passed = self._platform.clock.monotonic() - started
            patience = self._patience_with(response, is_new=is_new)
            if passed + pause > patience:
                raise failure
            if tries == 0:
                self._on_retry(str(failure), patience)
            await self._platform.clock.sleep(pause)
        raise AssertionError("patience is bounded, but did not end")

    def _patience_with(self, response: httpx.Response | None, *, is_new: bool) -> float:
        """Return for how many seconds a failure is tried again; negative when it never heals."""
        if response is None or response.status_code in _HEAL:
            return self._patience_seconds
        if response.status_code not in _HEAL_WHEN_SAID or "retry-after" not in response.headers:
            return -1.0
        if response.status_code == 404 and not is_new:
            return min(self._patience_seconds, UNKNOWN_SECONDS)
        return self._patience_seconds

    def _unreachable(self, error: Exception) -> PeerUnavailable:
        why = str(error) or type(error).__name__
        unreachable = PeerUnavailable(
            f"no answer from the server at {self._http.base_url} ({why}). Start one with "
            "`huleedu serve all-in-one`, or say where it is with --server"
        )
        unreachable.__cause__ = error
        return unreachable

    def _decoded(self, document: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(document, type=kind)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise self._stranger(str(error)) from error

    def _stranger(self, why: str) -> WrongUse:
        return WrongUse(
            f"what answers at {self._http.base_url} is not a huleedu server that this program "
            f"understands ({why}). Check --server"
        )


def _in_path(part: str) -> str:
    return quote(part, safe="")


def _results_path(batch_id: str) -> str:
    return f"/v1/results/{_in_path(batch_id)}"


def _growing_pause(tries: int) -> float:
    return float(min(PAUSE_SECONDS_MAX, 0.25 * 2 ** min(tries, 10)))


def _pause_after(response: httpx.Response, tries: int) -> float:
    """Return the seconds that the server asks for, else a pause that grows."""
    said = response.headers.get("retry-after", "")
    return float(said) if said.isascii() and said.isdigit() else _growing_pause(tries)
