"""A JSON body is taken within limits; anything else is refused in clear words."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.settings import Limits
from huleedu.web.body import _nests_deeper
from tests.web.support import application, client_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\xc3\xa5"]}', {"a": [1, 2.5, None, True, "å"]}),
        (b" 1 ", 1),
        (b"null", None),
        (b"[" * 32 + b"]" * 32, None),
    ],
)
async def test_json_is_read(body: bytes, value: object) -> None:
    """Any JSON value is taken, nested 32 deep and no deeper."""
    async with client_of(application()) as client:
        answer = await client.post("/v1/echo", content=body)

    assert answer.status_code == 201
    if value is not None:
        assert {"heard": value} == answer.json()


async def test_a_body_of_just_as_many_bytes_as_allowed_is_taken() -> None:
    """One more is too many, however it comes."""
    limit = Limits().json_body_bytes
    async with client_of(application()) as client:
        taken = await client.post("/v1/echo", content=b" " * (limit - 1) + b"1")
        refused = await client.post("/v1/echo", content=b" " * limit + b"1")

    assert (taken.status_code, refused.status_code) == (201, 413)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no body"),
        (b" \r\n", "no body"),
        (b"{", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"[1] 2", "not valid JSON"),
        (b"[NaN]", "not valid JSON"),
        (b"-Infinity", "not valid JSON"),
        (b"1e999", "not valid JSON"),
        (b'"\xff"', "not valid JSON"),
        (b'"\\ud800"', "not valid JSON"),
        ('{"a": 1}'.encode("utf-16"), "not valid JSON"),
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper than 32"),
        (b"[" * 100_000, "deeper than 32"),
        (b"[" * 100_000 + b"]" * 100_000, "deeper than 32"),
        (b'{"a":' * 100_000, "deeper than 32"),
    ],
)
async def test_what_is_not_json_is_refused(body: bytes, says: str) -> None:
    """Empty, broken, mis-encoded, not-a-number or endlessly nested: 400 that says which."""
    async with client_of(application()) as client:
        answer = await client.post("/v1/echo", content=body)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json()["detail"]


async def test_size_is_counted_as_it_arrives() -> None:
    """A body over the limit is refused before it is whole, whatever its headers announce."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 10_000

    limits = Limits(json_body_bytes=50_000)
    async with client_of(application(limits=limits)) as client:
        chunked = await client.post("/v1/echo", content=endless())
        announced = await client.post("/v1/echo", content=b"1" * 50_001)
        lied = await client.post("/v1/echo", content=b"1" * 50_001, headers={"Content-Length": "5"})

    assert [chunked.status_code, announced.status_code, lied.status_code] == [413, 413, 413]
    assert "50000 bytes" in announced.json()["detail"]


json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=20,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((depth_of(child) for child in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth_of(child) for child in value), default=0)
    return 0


@given(json_values, st.integers(min_value=1, max_value=8))
def test_depth_agrees_with_its_definition(value: object, depth_max: int) -> None:
    """A value is too deep exactly when a path through it has more containers than allowed."""
    assert (depth_of(value) > depth_max) == _nests_deeper(value, depth_max)
