"""What ``/openapi.json`` tells about routes that read their body themselves."""

from dataclasses import dataclass

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from huleedu.bos.faults import Fault
from huleedu.core.enums import BatchStatus

_PROBLEM = "application/problem+json"
_TEXT = Schema(type=OpenAPIType.STRING, min_length=1)


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The batch is registered, on disk."""

    batch_id: str
    correlation_id: str
    status: str = "registered"


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was registered; ``details`` lists every fault of the body."""

    error: str
    details: list[Fault] = []


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The wish is on disk; ``status`` and ``attempt`` are the batch's, as BOS has them now.

    With ``?attempt=`` results say no earlier attempt is the end of the batch.
    """

    batch_id: str
    status: BatchStatus
    attempt: int


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A failure in the form of RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    correlation_id: str


def _told(kind: type[msgspec.Struct], description: str) -> ResponseSpec:
    media_type = _PROBLEM if kind is Problem else "application/json"
    return ResponseSpec(
        kind, generate_examples=False, description=description, media_type=media_type
    )


UNAVAILABLE = _told(Problem, "The store cannot write for now; Retry-After says when to come again.")
NOT_FOUND = _told(Problem, "No such batch was registered here.")
WRONG_QUESTION = _told(Problem, "The limit, cursor or status is none.")

REGISTERING = {
    202: _told(Accepted, "The batch is registered, and what follows from it will happen."),
    400: _told(Refused, "The body is no JSON, or has faults: all of them are listed."),
    409: _told(Problem, "The first request with this Idempotency-Key is still being answered."),
    413: _told(Problem, "The body is over the limit."),
    422: _told(Problem, "The Idempotency-Key was used before, with another body."),
    500: _told(Refused, "A fault of the server's own; nothing was registered."),
    503: UNAVAILABLE,
}

TAKING = {
    202: _told(Taken, "The wish is kept; what comes of it is decided by who knows the texts."),
    400: _told(Refused, "The body is no JSON, or has faults: all of them are listed."),
    404: NOT_FOUND,
    409: _told(Problem, "The batch's state does not allow it: the detail tells why."),
    413: REGISTERING[413],
    422: REGISTERING[422],
    503: UNAVAILABLE,
}


@dataclass
class RegisterOperation(Operation):
    """The registration with its body: the fields of ``BatchRegistrationRequestV1``."""

    def __post_init__(self) -> None:
        schema = Schema(
            type=OpenAPIType.OBJECT,
            required=[
                "expected_essay_count",
                "essay_ids",
                "course_code",
                "class_designation",
                "essay_instructions",
            ],
            properties={
                "expected_essay_count": Schema(
                    type=OpenAPIType.INTEGER, minimum=1, description="The number of essay_ids."
                ),
                "essay_ids": Schema(
                    type=OpenAPIType.ARRAY,
                    min_items=1,
                    unique_items=True,
                    items=Schema(type=OpenAPIType.STRING, pattern="^[A-Za-z0-9._:\\- ]{1,128}$"),
                ),
                "course_code": Schema(type=OpenAPIType.STRING, examples=["SV1", "ENG5"]),
                "class_designation": _TEXT,
                "essay_instructions": _TEXT,
                "readiness_timeout_seconds": Schema(
                    type=[OpenAPIType.NUMBER, OpenAPIType.NULL],
                    minimum=1,
                    maximum=7_776_000,
                    description="How long to wait for the texts; null: as configured.",
                ),
            },
        )
        self.request_body = RequestBody(
            content={"application/json": OpenAPIMediaType(schema=schema)}, required=True
        )


@dataclass
class ExtendOperation(Operation):
    """The extension with its body."""

    def __post_init__(self) -> None:
        deadline = Schema(
            type=OpenAPIType.STRING,
            format=OpenAPIFormat.DATE_TIME,
            description="With its offset from UTC; in the future, at most 90 days ahead.",
        )
        schema = Schema(
            type=OpenAPIType.OBJECT, required=["deadline"], properties={"deadline": deadline}
        )
        self.request_body = RequestBody(
            content={"application/json": OpenAPIMediaType(schema=schema)}, required=True
        )


@dataclass
class CancelOperation(Operation):
    """The cancelling with its body, which may be left out."""

    def __post_init__(self) -> None:
        schema = Schema(
            type=OpenAPIType.OBJECT,
            properties={
                "reason": Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL], max_length=1_000),
                "cancelled_by": Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL], max_length=200),
            },
        )
        self.request_body = RequestBody(
            content={"application/json": OpenAPIMediaType(schema=schema)}, required=False
        )
