"""The content store over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from huleedu.content import LocalContent, routes, storage_id_of
from huleedu.core.errors import Misconfigured
from huleedu.core.platform import Platform
from huleedu.web.application import build_application
from tests.content.test_store import LIMITS, opened

pytestmark = pytest.mark.anyio
SECRET = "a-secret-of-this-deployment"
AUTHORIZED = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(tmp_path) as (_, content):
        app: Any = build_application(
            routes(content, SECRET, LIMITS), platform=Platform(), limits=LIMITS
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


async def test_a_content_is_stored_and_read(client: httpx.AsyncClient) -> None:
    """Raw bytes are answered with 201 and their id, under which they are read unchanged."""
    text = "Blåbärssoppa \x00 är gott.\r\n".encode()

    stored = await client.post("/v1/content", content=text, headers=AUTHORIZED)
    assert (201, {"storage_id": storage_id_of(text)}) == (stored.status_code, stored.json())

    read = await client.get(f"/v1/content/{storage_id_of(text)}", headers=AUTHORIZED)
    assert (200, text) == (read.status_code, read.content)
    assert read.headers["content-type"] == "application/octet-stream"
    assert read.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Basic YTpi"}, 401),
        ({"Authorization": "Bearer"}, 403),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Authorization": f"Bearer {SECRET}x"}, 403),
        ({"Authorization": b"Bearer \xe5\xe4\xf6"}, 403),
    ],
)
async def test_only_roles_with_the_secret_are_served(
    client: httpx.AsyncClient,
    headers: dict[str, str | bytes],
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without the secret 401, with a wrong one 403, for reading as for writing; never a hint."""
    known = storage_id_of(b"An essay.")
    await client.post("/v1/content", content=b"An essay.", headers=AUTHORIZED)

    put = await client.post("/v1/content", content=b"Another.", headers=headers)  # type: ignore[arg-type]
    got = await client.get(f"/v1/content/{known}", headers=headers)  # type: ignore[arg-type]

    assert [status, status] == [put.status_code, got.status_code]
    assert put.headers["content-type"].startswith("application/problem+json")
    assert ("www-authenticate" in got.headers) == (status == 401)
    assert SECRET not in put.text + got.text + caplog.text


async def test_an_unknown_or_malformed_id_is_not_found(client: httpx.AsyncClient) -> None:
    """Nothing is stored under it: 404."""
    for name in (storage_id_of(b"never stored"), "nonsense", "..%2Fcontent.db"):
        answer = await client.get(f"/v1/content/{name}", headers=AUTHORIZED)
        assert answer.status_code == 404


async def test_a_body_over_the_limit_is_cut_off(client: httpx.AsyncClient) -> None:
    """A body that never says its length is read up to the limit, and answered with 413."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100
            yield b"a" * 100

    answer = await client.post("/v1/content", content=endless(), headers=AUTHORIZED)

    assert answer.status_code == 413
    assert sent <= 600


async def test_a_small_length_in_the_header_lets_nothing_more_through(
    client: httpx.AsyncClient,
) -> None:
    """What counts is what came, not what Content-Length says."""
    headers = {**AUTHORIZED, "Content-Length": "5"}

    answer = await client.post("/v1/content", content=b"a" * 401, headers=headers)

    assert answer.status_code == 413


def test_an_empty_secret_is_no_secret(tmp_path: Path) -> None:
    """A deployment without a secret does not start with its texts open to everyone."""
    with pytest.raises(Misconfigured, match="role_secret is empty"):
        routes(LocalContent.__new__(LocalContent), "", LIMITS)
