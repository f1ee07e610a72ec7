"""Every request is told under one correlation id, measured by its template, and guarded."""

import io
import json
from uuid import UUID

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from huleedu.web.request import _UUID
from tests.web.support import application, client_of

pytestmark = pytest.mark.anyio

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def lines(stream: io.StringIO, event: str) -> list[dict[str, object]]:
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in told if line["event"] == event]


@pytest.mark.parametrize("sent", [ID, ID.upper(), f"  {ID} "])
async def test_the_callers_uuid_is_kept(sent: str) -> None:
    """A valid X-Correlation-ID, in either case, is what the request goes by."""
    async with client_of(application()) as client:
        answer = await client.get("/v1/things/a", headers={"X-Correlation-ID": sent})

    assert answer.headers["x-correlation-id"] == ID
    assert answer.json()["correlation_id"] == ID


@pytest.mark.parametrize("sent", ["", "1", ID[:-1], f"{{{ID}}}", f"urn:uuid:{ID}", ID + "0", "å"])
async def test_anything_else_is_replaced(sent: str) -> None:
    """What is not a uuid in its usual form is replaced by a new one."""
    async with client_of(application()) as client:
        answer = await client.get("/v1/things/a", headers={b"X-Correlation-ID": sent.encode()})

    assert sent != answer.headers["x-correlation-id"]
    assert str(UUID(answer.headers["x-correlation-id"])) == answer.headers["x-correlation-id"]


@given(st.uuids())
def test_every_uuid_is_a_valid_correlation_id(some: UUID) -> None:
    """Whatever version of uuid a caller uses, it is kept."""
    assert _UUID.fullmatch(str(some))
    assert _UUID.fullmatch(str(some).upper())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/things/a", 200),
        ("GET", "/v1/things/a?page=x", 400),
        ("GET", "/v1/things/bug", 500),
        ("GET", "/v1/things/unavailable", 503),
        ("GET", "/nowhere", 404),
        ("PATCH", "/v1/echo", 405),
        ("GET", "/page", 200),
        ("GET", "/healthz", 200),
    ],
)
async def test_every_answer_carries_the_id_and_the_guards(
    method: str, path: str, status: int
) -> None:
    """No answer, refusals included, goes out without correlation id and security headers."""
    async with client_of(application()) as client:
        answer = await client.request(method, path, headers={"X-Correlation-ID": ID})

    assert status == answer.status_code
    assert answer.headers["x-correlation-id"] == ID
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    is_page = answer.headers["content-type"].startswith("text/html")
    assert is_page == ("content-security-policy" not in answer.headers)


async def test_a_request_is_one_log_line_with_its_template(log: io.StringIO) -> None:
    """The line names method, template, status, seconds and correlation id, never the path."""
    async with client_of(application()) as client:
        await client.get("/v1/things/anna-svensson", headers={"X-Correlation-ID": ID})
        await client.get("/nowhere/anna-svensson")
        await client.get("/healthz")

    seen, unmatched = lines(log, "http_request")
    assert (
        seen["method"],
        seen["route"],
        seen["status"],
    ) == ("GET", "/v1/things/{thing_id}", 200)
    assert seen["correlation_id"] == ID
    assert isinstance(seen["seconds"], float)
    assert unmatched["route"] == "unmatched"
    assert "anna" not in log.getvalue()
    assert structlog.contextvars.get_contextvars() == {}


async def test_metrics_have_the_template_as_label() -> None:
    """However many ids and made-up methods are asked for, the labels stay the same few."""
    route = {"method": "GET", "route": "/v1/things/{thing_id}"}
    labels = {**route, "status": "200"}
    before = REGISTRY.get_sample_value("huleedu_http_requests_total", labels) or 0.0
    async with client_of(application()) as client:
        for number in range(20):
            await client.get(f"/v1/things/{number}")
            await client.request(f"M{number}", "/v1/things/1")

    assert before + 20 == REGISTRY.get_sample_value("huleedu_http_requests_total", labels)
    methods = {
        sample.labels["method"]
        for metric in REGISTRY.collect()
        if metric.name == "huleedu_http_requests"
        for sample in metric.samples
    }
    assert methods <= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}
    counted = REGISTRY.get_sample_value("huleedu_http_request_seconds_count", route)
    assert counted is not None
    assert counted >= 20


async def test_an_answer_that_breaks_off_is_told(log: io.StringIO) -> None:
    """A failure after the answer has begun is logged with its cause and correlation id."""
    async with client_of(application(), raises=False) as client:
        await client.get("/broken-stream", headers={"X-Correlation-ID": ID})

    (told,) = lines(log, "http_answer_broken_off")
    assert told["correlation_id"] == ID
    assert "too late for a status" in json.dumps(told["exception"])
