"""Failures are answered as problem+json with the status of who is wrong."""

import io

import pytest

from huleedu.core.errors import NotFound, Rejected, TaskDied, Unavailable
from huleedu.web.problems import problem, status_of
from tests.web.support import application, client_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("failure", "status", "title", "retry_after"),
    [
        ("rejected", 400, "Bad Request", None),
        ("not-found", 404, "Not Found", None),
        ("not-yet", 404, "Not Found", "1"),
        ("conflict", 409, "Conflict", None),
        ("too-large", 413, "Request Entity Too Large", None),
        ("unavailable", 503, "Service Unavailable", "5"),
    ],
)
async def test_the_error_tree_is_told_to_the_caller(
    failure: str, status: int, title: str, retry_after: str | None
) -> None:
    """Whoever is wrong reads the error's own sentence; who may try again is told when."""
    async with client_of(application()) as client:
        answer = await client.get(f"/v1/things/{failure}")

    told = answer.json()
    assert status == answer.status_code == told["status"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert (title, "about:blank") == (told["title"], told["type"])
    assert told["detail"]
    assert told["code"]
    assert answer.headers["x-correlation-id"] == told["correlation_id"]
    assert retry_after == answer.headers.get("retry-after")


@pytest.mark.parametrize("failure", ["bug", "misconfigured"])
async def test_a_fault_of_ours_is_told_to_the_log_only(failure: str, log: io.StringIO) -> None:
    """The caller of a request that hit a bug gets no detail; the log has it under the id."""
    async with client_of(application()) as client:
        answer = await client.get(f"/v1/things/{failure}")

    assert answer.status_code == 500
    assert "secret" not in answer.text
    (line,) = [one for one in log.getvalue().splitlines() if "http_request_failed" in one]
    assert answer.headers["x-correlation-id"] in line
    assert "secret" in line


async def test_what_the_framework_refuses_has_the_same_form() -> None:
    """An unknown path, another method and a wrong parameter are problems like all others."""
    async with client_of(application()) as client:
        nowhere = await client.get("/nowhere")
        method = await client.patch("/v1/echo")
        parameter = await client.get("/v1/things/a?page=x")

    answers = [nowhere, method, parameter]
    assert [answer.status_code for answer in answers] == [404, 405, 400]
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-correlation-id"] == answer.json()["correlation_id"]
    assert "POST" in method.headers["allow"]
    assert parameter.json()["errors"][0]["key"] == "page"


def test_a_kind_of_error_inherits_its_status() -> None:
    """A module's own error is answered as the kind that it is."""

    class EssayUnknown(NotFound):
        pass

    assert [
        status_of(error) for error in (EssayUnknown(), Rejected(), Unavailable(), TaskDied())
    ] == [404, 400, 503, 500]


def test_a_problem_may_carry_more() -> None:
    """Extra members and headers go out with the problem; there is no id outside of a request."""
    answer = problem(409, "Conflict", "no", {"Retry-After": "2"}, instance="/x", errors=[1])

    assert answer.status_code == 409
    assert answer.headers == {"Retry-After": "2"}
    assert answer.content == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "no",
        "instance": "/x",
        "errors": [1],
    }
