"""How BOS answers requests that change something: counted, and in the contract's shapes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from litestar import Request, Response
from litestar.params import HeaderParameter

from huleedu.bos.faults import Fault
from huleedu.bos.idempotency import Answer, KeyReused
from huleedu.core.errors import Rejected, Unavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.metrics import BATCH_OPERATIONS
from huleedu.web.problems import problem

AnyRequest = Request[Any, Any, Any]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="1-255 visible ASCII characters: a repeat gets the first answer",
    ),
]

_logger = create_service_logger("bos")


@contextmanager
def counted(operation: str) -> Iterator[None]:
    """Count a request that ends in an error of the tree; whoever answers counts the others."""
    try:
        yield
    except Rejected:
        BATCH_OPERATIONS.labels(operation, "validation_error").inc()
        raise
    except Unavailable:
        BATCH_OPERATIONS.labels(operation, "error").inc()
        raise


def key_reused(_request: AnyRequest, error: KeyReused) -> Response[Any]:
    """Answer a key that was used before, with another body."""
    return problem(422, "Unprocessable Content", str(error), code=error.code)


def not_json(operation: str) -> Response[Any]:
    """Answer a body that is none."""
    BATCH_OPERATIONS.labels(operation, "validation_error").inc()
    return Response({"error": "Request body must be valid JSON"}, status_code=400)


def invalid(operation: str, faults: Sequence[Fault]) -> Response[Any]:
    """Answer a body with faults: all of them are listed."""
    BATCH_OPERATIONS.labels(operation, "validation_error").inc()
    _logger.warning("request_refused", operation=operation, faults=len(faults), first=faults[0].msg)
    return Response({"error": "Validation Error", "details": list(faults)}, status_code=400)


def succeeded(operation: str, answer: Answer) -> Response[Any]:
    """Answer what was done."""
    BATCH_OPERATIONS.labels(operation, "success").inc()
    return as_response(answer)


def as_response(answer: Answer) -> Response[Any]:
    """Answer as it was answered the first time, to the byte."""
    return Response(answer.body, status_code=answer.status, media_type="application/json")
