"""An address is as long as it needs to be."""

import pytest

from huleedu.web.targets import TARGET_BYTES_MAX
from tests.web.support import application, client_of

pytestmark = pytest.mark.anyio

THING, PAGE = "/v1/things/", "?page=1"


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("letter", ["a", "%20", "%C3%A5"])
async def test_what_is_longer_is_refused(beyond: int, letter: str) -> None:
    """Path and query count together, as they are sent."""
    room = TARGET_BYTES_MAX - len(THING) - len(PAGE)
    name = letter * (room // len(letter)) + (room % len(letter) + beyond) * "a"

    async with client_of(application()) as client:
        answer = await client.get(f"{THING}{name}{PAGE}")

    assert answer.status_code == (414 if beyond else 200)


async def test_a_refusal_tells_why() -> None:
    """It is a problem like any other, under the request's correlation id."""
    async with client_of(application()) as client:
        answer = await client.get("/" + TARGET_BYTES_MAX * "a")

    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["correlation_id"]) == (414, answer.headers["x-correlation-id"])
    assert f"over {TARGET_BYTES_MAX} bytes" in told["detail"]
