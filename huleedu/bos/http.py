"""BOS over HTTP: parse, ask, answer; no rule lives here."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from huleedu.bos.answering import (
    AnyRequest,
    IdempotencyKey,
    as_response,
    counted,
    invalid,
    key_reused,
    not_json,
    succeeded,
)
from huleedu.bos.answers import answered_before
from huleedu.bos.api_models import registration_faults, registration_of
from huleedu.bos.documentation import (
    NOT_FOUND,
    REGISTERING,
    UNAVAILABLE,
    WRONG_QUESTION,
    RegisterOperation,
)
from huleedu.bos.http_actions import action_routes
from huleedu.bos.idempotency import KeyReused, RequestsInFlight, keyed_request
from huleedu.bos.paging import cursor_at, position_of
from huleedu.bos.registrar import BatchRegistrar
from huleedu.bos.smoke_batch import SMOKE_TEXTS, smoke_registration
from huleedu.bos.stalls import timing_at
from huleedu.bos.views import BatchSummary, BatchView, find_batch, list_batches
from huleedu.core.enums import BatchStatus, Language
from huleedu.core.errors import NotFound
from huleedu.core.logging import create_service_logger
from huleedu.core.metrics import BATCH_OPERATIONS
from huleedu.core.platform import Platform
from huleedu.core.ports import ContentClient
from huleedu.core.settings import Limits, Settings
from huleedu.store.database import Database
from huleedu.web.body import MalformedBody, read_json
from huleedu.web.request import correlation_id_of

REGISTER = "register_batch"
TRIGGER_SMOKE_TEST = "trigger_spellcheck_test"
_logger = create_service_logger("bos")


class BatchList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of batches, newest first; ``next_cursor`` is null on the last page."""

    batches: list[BatchSummary]
    next_cursor: str | None


def routes(
    database: Database,
    platform: Platform,
    settings: Settings,
    courses: Mapping[str, Language],
    content: ContentClient,
) -> list[HTTPRouteHandler]:
    """Return the routes under ``/v1/batches``."""
    registrar = BatchRegistrar(database, platform, courses)
    in_flight = RequestsInFlight()
    return [
        _register_route(database, registrar, in_flight, settings.limits, courses),
        _smoke_test_route(database, registrar, in_flight, content),
        *action_routes(database, platform, in_flight, settings.limits),
        *_read_routes(database, platform, settings),
    ]


def _register_route(
    database: Database,
    registrar: BatchRegistrar,
    in_flight: RequestsInFlight,
    limits: Limits,
    courses: Mapping[str, Language],
) -> HTTPRouteHandler:
    @post(
        "/v1/batches/register",
        status_code=202,
        exception_handlers=_exception_handlers(REGISTER),
        operation_class=RegisterOperation,
        responses=REGISTERING,
        summary="Register a batch",
        tags=["batches"],
    )
    async def register_batch(
        request: AnyRequest, idempotency_key: IdempotencyKey = None
    ) -> Response[Any]:
        """Register a class of essays; an Idempotency-Key makes a repeat harmless."""
        with counted(REGISTER):
            try:
                body = await read_json(request, limits)
            except MalformedBody:
                return not_json(REGISTER)
            if not body:  # the contract's "empty JSON": null, {}, [], ""
                return not_json(REGISTER)
            keyed = keyed_request(REGISTER, idempotency_key, body)
            with in_flight.hold(keyed):
                earlier = await answered_before(database, keyed)
                if earlier is not None:
                    return as_response(earlier)
                faults = registration_faults(body, courses, limits)
                if faults:
                    return invalid(REGISTER, faults)
                registration = registration_of(body)
                correlation_id = correlation_id_of(request)
                answer = await registrar.register(registration, correlation_id, keyed)
            return succeeded(REGISTER, answer)

    return register_batch


def _smoke_test_route(
    database: Database,
    registrar: BatchRegistrar,
    in_flight: RequestsInFlight,
    content: ContentClient,
) -> HTTPRouteHandler:
    @post(
        "/v1/batches/trigger-spellcheck-test",
        status_code=202,
        exception_handlers=_exception_handlers(TRIGGER_SMOKE_TEST),
        responses={code: REGISTERING[code] for code in (202, 409, 500, 503)},
        summary="Run a small built-in batch",
        tags=["batches"],
    )
    async def trigger_spellcheck_test(
        request: AnyRequest, idempotency_key: IdempotencyKey = None
    ) -> Response[Any]:
        """Register and run three short English essays, to see that the whole way works."""
        with counted(TRIGGER_SMOKE_TEST):
            keyed = keyed_request(TRIGGER_SMOKE_TEST, idempotency_key, None)
            with in_flight.hold(keyed):
                earlier = await answered_before(database, keyed)
                if earlier is not None:
                    return as_response(earlier)
                texts = {
                    essay_id: await content.put(text.encode())
                    for essay_id, text in SMOKE_TEXTS.items()
                }
                answer = await registrar.register(
                    smoke_registration(), correlation_id_of(request), keyed, texts
                )
            return succeeded(TRIGGER_SMOKE_TEST, answer)

    return trigger_spellcheck_test


def _read_routes(
    database: Database, platform: Platform, settings: Settings
) -> list[HTTPRouteHandler]:
    page_size = settings.limits.page_size

    @get(
        "/v1/batches",
        responses={400: WRONG_QUESTION, 503: UNAVAILABLE},
        summary="List batches",
        tags=["batches"],
    )
    async def get_batches(
        limit: Annotated[int, QueryParameter(ge=1, le=page_size)] = page_size,
        cursor: Annotated[str | None, QueryParameter(description="next_cursor of a page")] = None,
        status: Annotated[BatchStatus | None, QueryParameter()] = None,
    ) -> BatchList:
        """List batches, newest first, a page at a time."""
        before = None if cursor is None else position_of(cursor)
        timing = timing_at(platform.clock.now(), settings)
        page = await database.read(lambda db: list_batches(db, limit, timing, before, status))
        following = page.next_position
        return BatchList(
            batches=list(page.batches),
            next_cursor=None if following is None else cursor_at(following),
        )

    @get(
        "/v1/batches/{batch_id:str}",
        responses={404: NOT_FOUND, 503: UNAVAILABLE},
        summary="Read a batch",
        tags=["batches"],
    )
    async def get_batch(batch_id: FromPath[str]) -> BatchView:
        """Tell what a batch was registered with, how far it is, and what it waits for."""
        timing = timing_at(platform.clock.now(), settings)
        view = await database.read(lambda db: find_batch(db, batch_id, timing))
        if view is None:
            raise NotFound(f"no batch {batch_id[:80]!r} was registered here")
        return view

    return [get_batches, get_batch]


def _exception_handlers(operation: str) -> dict[Any, Callable[..., Response[Any]]]:
    def failed(_request: AnyRequest, error: Exception) -> Response[Any]:
        _logger.error("batch_registration_failed", operation=operation, exc_info=error)
        BATCH_OPERATIONS.labels(operation, "error").inc()
        return Response({"error": "Failed to register batch."}, status_code=500)

    return {KeyReused: key_reused, Exception: failed}
