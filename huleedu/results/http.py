"""The results of a batch over HTTP: as JSON, CSV or zip, and live."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Scope, Send

from huleedu.core.errors import Rejected
from huleedu.core.platform import Platform
from huleedu.core.ports import AcceptedActions, ContentClient
from huleedu.core.settings import ResultsSettings
from huleedu.results.archive import spool_archive
from huleedu.results.corrections import spool_with_corrections
from huleedu.results.expecting import Expecting, expecting
from huleedu.results.model import BatchView
from huleedu.results.names import content_disposition
from huleedu.results.stream import Commits, ProgressReader, Stopping, follow
from huleedu.results.table import as_csv
from huleedu.results.views import view
from huleedu.store.database import Database

FORMATS = ("json", "csv", "zip")
INCLUDES = ("corrections",)
ATTEMPT_MAX = 2**31
EVENT_ID_MAX = 2**63 - 1
"""What a store can count to."""

AttemptParameter = Annotated[
    int,
    QueryParameter(
        ge=1,
        le=ATTEMPT_MAX,
        description="as a retry was answered: no end of an attempt before it is one",
    ),
]

AnyRequest = Request[Any, Any, Any]
Chunks = AsyncGenerator[bytes, None]


class ClosingStream(Stream):
    """A streamed answer whose source is closed at its end, also when its reader hangs up."""

    def __init__(self, chunks: Chunks, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(chunks, media_type=media_type, headers=headers, status_code=200)
        self.chunks = chunks

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """Return what sends the chunks."""
        return _ClosingResponse(
            iterator=self.chunks,
            headers=self.headers,
            media_type=self.media_type,
            status_code=200,
        )


class _ClosingResponse(ASGIStreamingResponse):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Otherwise the garbage collector would close it, at some later time.
        async with aclosing(self.iterator):  # type: ignore[type-var]
            await super().__call__(scope, receive, send)


def routes(
    database: Database,
    platform: Platform,
    settings: ResultsSettings,
    content: ContentClient,
    stopping: Stopping,
    accepted: AcceptedActions | None = None,
) -> list[HTTPRouteHandler]:
    """Return ``GET /v1/results/{batch_id}`` and ``GET /v1/results/{batch_id}/events``.

    What BOS has ``accepted`` is asked where it is in this process; elsewhere callers name the
    attempt that a retry was answered with.

    Streams end when ``stopping`` is set.  Must be called once for a database: it listens for
    its commits.
    """

    expected_of = expecting(accepted)

    @get("/v1/results/{batch_id:str}", summary="Read the results of a batch", tags=["results"])
    async def read_results(
        batch_id: FromPath[str],
        as_format: Annotated[
            str, QueryParameter(name="format", description="json, csv or zip")
        ] = "json",
        include: Annotated[
            str | None, QueryParameter(description="corrections: with each essay's, in JSON")
        ] = None,
        attempt: AttemptParameter = 1,
    ) -> Response[Any]:
        """Return how the batch and each of its essays stand.

        404 with Retry-After for a batch that is not known here (yet).
        """
        _check_wishes(as_format, include)
        now, expected = platform.clock.now(), await expected_of(batch_id, attempt)()
        batch = await database.read(lambda connection: view(connection, batch_id, now, expected))
        if as_format == "csv":
            return _table(batch)
        if as_format == "zip":
            return await _archive(batch, content, platform)
        if include is not None:
            return await _with_corrections(batch, content, platform)
        return Response(batch)

    return [read_results, _live(database, platform, settings, stopping, expected_of)]


def _live(
    database: Database,
    platform: Platform,
    settings: ResultsSettings,
    stopping: Stopping,
    expected_of: Expecting,
) -> HTTPRouteHandler:
    commits = Commits(database)

    @get("/v1/results/{batch_id:str}/events", summary="Follow a batch", tags=["results"])
    async def follow_batch(
        request: AnyRequest,
        batch_id: FromPath[str],
        last_event_id: Annotated[
            str | None, QueryParameter(description="as the header Last-Event-ID, which wins")
        ] = None,
        attempt: AttemptParameter = 1,
    ) -> Response[Any]:
        """Send server-sent events: a snapshot, each change, and ``done`` at the end.

        404 with Retry-After for a batch that is not known here (yet).
        """
        last = _event_id(request.headers.get("last-event-id") or last_event_id)
        reader = ProgressReader(database, platform, batch_id, expected_of(batch_id, attempt))
        started = await reader.start()  # an unknown batch is answered before the stream begins
        events = follow(
            reader,
            started,
            commits,
            platform.clock,
            stopping,
            last_event_id=last,
            heartbeat_seconds=settings.heartbeat_seconds,
        )
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return ClosingStream(events, "text/event-stream", headers)

    return follow_batch


def _check_wishes(as_format: str, include: str | None) -> None:
    if as_format not in FORMATS:
        raise Rejected(f"format is {as_format[:40]!r}; one of {', '.join(FORMATS)} is meant")
    if include is not None and include not in INCLUDES:
        raise Rejected(f"include is {include[:40]!r}; only {', '.join(INCLUDES)} is known")
    if include is not None and as_format != "json":
        raise Rejected(f"include={include} goes with format=json only; the zip has every log")


def _event_id(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > EVENT_ID_MAX:
        raise Rejected(f"Last-Event-ID is {text[:40]!r}; a number that an event had is meant")
    return int(text)


def _stem(batch: BatchView) -> str:
    return f"results-{batch.batch_id}"


def _table(batch: BatchView) -> Response[bytes]:
    return Response(
        as_csv(batch),
        media_type="text/csv",
        headers={"Content-Disposition": content_disposition(_stem(batch), "csv")},
    )


async def _archive(batch: BatchView, content: ContentClient, platform: Platform) -> ClosingStream:
    spool = await spool_archive(batch, content, platform.hops)
    headers = {"Content-Disposition": content_disposition(_stem(batch), "zip")}
    return ClosingStream(spool.chunks(), "application/zip", headers)


async def _with_corrections(
    batch: BatchView, content: ContentClient, platform: Platform
) -> ClosingStream:
    spool = await spool_with_corrections(batch, content, platform.hops)
    return ClosingStream(spool.chunks(), "application/json", {})
