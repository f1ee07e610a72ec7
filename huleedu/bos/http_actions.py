"""What a teacher may do with a batch, over HTTP: parse, ask, answer."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from huleedu.bos.acting import BatchActions
from huleedu.bos.action_bodies import cancellation, extension, proceeding, retrying
from huleedu.bos.actions import Action
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
from huleedu.bos.documentation import TAKING, CancelOperation, ExtendOperation
from huleedu.bos.faults import Fault
from huleedu.bos.idempotency import KeyReused, RequestsInFlight, keyed_request
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits
from huleedu.store.database import Database
from huleedu.web.body import MalformedBody, json_in, read_body

ReadBody = Callable[[object, datetime], Action | list[Fault]]


class _Actions:
    """What the four routes share."""

    def __init__(
        self,
        database: Database,
        platform: Platform,
        in_flight: RequestsInFlight,
        limits: Limits,
    ) -> None:
        self._database = database
        self._platform = platform
        self._in_flight = in_flight
        self._limits = limits
        self._actions = BatchActions(database, platform)

    async def answer(
        self,
        request: AnyRequest,
        operation: str,
        batch_id: str,
        key: str | None,
        read: ReadBody,
        *,
        body_required: bool = False,
    ) -> Response[Any]:
        """Take the action that the body asks for; a repeat under its key gets the first answer."""
        with counted(operation):
            try:
                body = await self._body(request, body_required)
            except MalformedBody:
                return not_json(operation)
            keyed = keyed_request(f"{operation} {batch_id}", key, body)
            with self._in_flight.hold(keyed):
                earlier = await answered_before(self._database, keyed)
                if earlier is not None:
                    return as_response(earlier)
                action = read(body, self._platform.clock.now())
                if isinstance(action, list):
                    return invalid(operation, action)
                answer = await self._actions.take(batch_id, action, keyed)
            return succeeded(operation, answer)

    async def _body(self, request: AnyRequest, required: bool) -> object:
        """Return the JSON of the request; no body is an empty object where none is required."""
        body = await read_body(request, self._limits.json_body_bytes)
        return json_in(body, self._limits) if required or body.strip() else {}


def action_routes(
    database: Database, platform: Platform, in_flight: RequestsInFlight, limits: Limits
) -> list[HTTPRouteHandler]:
    """Return ``POST /v1/batches/{batch_id}/`` extend, proceed, cancel and retry.

    Each answers 202 once the wish is on disk: what comes of it is decided by ELS.
    """
    actions = _Actions(database, platform, in_flight, limits)
    return [
        _extend_route(actions),
        _proceed_route(actions),
        _cancel_route(actions),
        _retry_route(actions),
    ]


def _extend_route(actions: _Actions) -> HTTPRouteHandler:
    @post(
        "/v1/batches/{batch_id:str}/extend",
        status_code=202,
        exception_handlers={KeyReused: key_reused},
        operation_class=ExtendOperation,
        responses=TAKING,
        summary="Wait longer for the texts",
        tags=["batches"],
    )
    async def extend_batch(
        request: AnyRequest, batch_id: FromPath[str], idempotency_key: IdempotencyKey = None
    ) -> Response[Any]:
        """Move the deadline of a batch that waits for texts; also one that has passed."""
        return await actions.answer(
            request, "extend_batch", batch_id, idempotency_key, extension, body_required=True
        )

    return extend_batch


def _proceed_route(actions: _Actions) -> HTTPRouteHandler:
    @post(
        "/v1/batches/{batch_id:str}/proceed",
        status_code=202,
        exception_handlers={KeyReused: key_reused},
        responses=TAKING,
        summary="Go on with the essays that are there",
        tags=["batches"],
    )
    async def proceed_batch(
        request: AnyRequest, batch_id: FromPath[str], idempotency_key: IdempotencyKey = None
    ) -> Response[Any]:
        """Run a batch that waits for texts with those that are there; the missing essays fail."""
        return await actions.answer(request, "proceed_batch", batch_id, idempotency_key, proceeding)

    return proceed_batch


def _cancel_route(actions: _Actions) -> HTTPRouteHandler:
    @post(
        "/v1/batches/{batch_id:str}/cancel",
        status_code=202,
        exception_handlers={KeyReused: key_reused},
        operation_class=CancelOperation,
        responses=TAKING,
        summary="Stop a batch",
        tags=["batches"],
    )
    async def cancel_batch(
        request: AnyRequest, batch_id: FromPath[str], idempotency_key: IdempotencyKey = None
    ) -> Response[Any]:
        """Stop a batch that has not ended; what was checked by then stays."""
        return await actions.answer(
            request, "cancel_batch", batch_id, idempotency_key, cancellation
        )

    return cancel_batch


def _retry_route(actions: _Actions) -> HTTPRouteHandler:
    @post(
        "/v1/batches/{batch_id:str}/retry",
        status_code=202,
        exception_handlers={KeyReused: key_reused},
        responses=TAKING,
        summary="Check the failed essays again",
        tags=["batches"],
    )
    async def retry_batch(
        request: AnyRequest, batch_id: FromPath[str], idempotency_key: IdempotencyKey = None
    ) -> Response[Any]:
        """Check the essays again that failed and have a text, of a batch that has ended."""
        return await actions.answer(request, "retry_batch", batch_id, idempotency_key, retrying)

    return retry_batch
