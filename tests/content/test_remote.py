"""The content store asked over HTTP, on a real socket."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import structlog

from huleedu.content import RemoteContent, SecretRefused, routes, storage_id_of
from huleedu.core.errors import Misconfigured, NotFound, PeerUnavailable, TooLarge
from huleedu.core.ids import StorageId
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits
from huleedu.web.application import build_application
from huleedu.web.peer import ATTEMPTS_MAX, peer_http
from tests.content.test_store import LIMITS, opened
from tests.support.http import Front, NotedPauses, served

pytestmark = pytest.mark.anyio
SECRET = "a-secret-of-this-deployment"
TEXT = "Blåbärssoppa är gott.".encode()


class Store:
    """A content role, what stands in front of it, and a client of it."""

    def __init__(self, front: Front, url: str, http: httpx.AsyncClient) -> None:
        self.front = front
        self.clock = NotedPauses()
        self.url = url
        self._http = http
        self.remote = self.client(SECRET)

    def client(self, secret: str) -> RemoteContent:
        platform = Platform(clock=self.clock)
        return RemoteContent(self._http, platform, url=self.url, role_secret=secret, limits=LIMITS)


@asynccontextmanager
async def store(
    directory: Path,
    spoiled: Sequence[int | str] = (),
    timeout_seconds: float = 5.0,
    limits: Limits = LIMITS,
) -> AsyncIterator[Store]:
    async with opened(directory) as (_, content), peer_http() as http:
        http.timeout = httpx.Timeout(timeout_seconds)
        application = build_application(
            routes(content, SECRET, limits), platform=Platform(), limits=limits
        )
        front = Front(application, spoiled)
        async with served(front) as url:
            yield Store(front, url, http)


async def test_what_was_put_is_got(tmp_path: Path) -> None:
    """Bytes go there and come back unchanged, under the id that follows from them."""
    async with store(tmp_path) as content:
        storage_id = await content.remote.put(TEXT)
        again = await content.remote.put(TEXT)
        got = await content.remote.get(storage_id)

    assert (storage_id, again) == (storage_id_of(TEXT), storage_id)
    assert got == TEXT


async def test_an_unknown_id_is_not_found_and_no_id_is_not_even_asked_for(tmp_path: Path) -> None:
    async with store(tmp_path) as content:
        for storage_id in (storage_id_of(b"never stored"), StorageId("../../secret")):
            with pytest.raises(NotFound):
                await content.remote.get(storage_id)

        assert len(content.front.asked) == 1


async def test_a_content_over_the_limit_is_not_sent(tmp_path: Path) -> None:
    async with store(tmp_path) as content:
        with pytest.raises(TooLarge):
            await content.remote.put(b"a" * 401)

        assert content.front.asked == []


@pytest.mark.parametrize(
    "spoiled", [[500], [503, 503], ["reset"], ["hang"], [429, 502, 504]], ids=str
)
async def test_trouble_that_passes_is_not_noticed(
    tmp_path: Path, spoiled: Sequence[int | str]
) -> None:
    """An answer that failed, broke off or did not come in time is asked for again."""
    async with store(tmp_path, spoiled, timeout_seconds=0.5) as content:
        assert await content.remote.put(TEXT) == storage_id_of(TEXT)
        assert await content.remote.get(storage_id_of(TEXT)) == TEXT

        assert len(content.front.asked) == len(spoiled) + 2
        assert len(content.clock.pauses) == len(spoiled)


async def test_pauses_grow_and_keep_to_what_the_store_asks_for(tmp_path: Path) -> None:
    """Retry-After counts where it is longer than the pause of our own."""
    async with store(tmp_path, [500, 503, 500]) as content:
        await content.remote.put(TEXT)

        first, asked_for, third = content.clock.pauses
        assert 0 < first < third < 1
        assert asked_for == 2


async def test_trouble_that_stays_is_the_peers(tmp_path: Path) -> None:
    """After a few attempts the caller is told who does not answer, and where to look."""
    async with store(tmp_path, [500] * 20) as content:
        with pytest.raises(PeerUnavailable, match=r"content_service_url.*answers 500"):
            await content.remote.get(storage_id_of(TEXT))

        assert len(content.front.asked) == ATTEMPTS_MAX


async def test_a_store_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with peer_http() as http:
        platform = Platform(clock=NotedPauses())
        remote = RemoteContent(http, platform, url=url, role_secret=SECRET, limits=LIMITS)

        with pytest.raises(PeerUnavailable, match="does not answer"):
            await remote.put(TEXT)


@pytest.mark.parametrize("secret", ["wrong", "å fel hemlighet"])
async def test_a_wrong_secret_names_the_setting_and_waits_for_the_operator(
    tmp_path: Path, secret: str
) -> None:
    """It is no fault of any message: nothing is to be set aside for it, nor asked for at once."""
    async with store(tmp_path) as content:
        with pytest.raises(SecretRefused, match="HULEEDU_ROLE_SECRET") as refused:
            await content.client(secret).put(TEXT)

        assert secret not in str(refused.value)
        assert len(content.front.asked) == 1


async def test_no_secret_or_no_url_stops_the_program() -> None:
    async with peer_http() as http:
        for url, secret in (("http://here", ""), ("here:8000", SECRET), ("http://", SECRET)):
            with pytest.raises(Misconfigured):
                RemoteContent(http, Platform(), url=url, role_secret=secret, limits=LIMITS)


async def test_the_store_joins_the_story_of_whoever_asks(tmp_path: Path) -> None:
    """The correlation id of the log goes along as X-Correlation-ID."""
    correlation_id = str(uuid4())
    async with store(tmp_path) as content:
        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            await content.remote.put(TEXT)
        await content.remote.put(TEXT)

        asked = [headers.get(b"x-correlation-id") for _, _, headers in content.front.asked]
        assert asked == [correlation_id.encode(), None]
