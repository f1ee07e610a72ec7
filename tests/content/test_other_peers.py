"""Where the content store should be, somebody else answers: that heals, and is no essay's fault."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from huleedu.content import RemoteContent, storage_id_of
from huleedu.core.errors import HuleEduError, NotFound, PeerUnavailable, TooLarge
from huleedu.core.ids import StorageId
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits
from huleedu.web.peer import peer_http
from tests.content.test_remote import SECRET, TEXT, store
from tests.content.test_store import LIMITS
from tests.support.http import NotedPauses
from tests.support.other_peers import OTHERS, answering, problem, said

pytestmark = pytest.mark.anyio
ID = storage_id_of(TEXT)


async def fault_of(url: str, ask: Callable[[RemoteContent], Awaitable[object]]) -> HuleEduError:
    async with peer_http() as http:
        platform = Platform(clock=NotedPauses())
        remote = RemoteContent(http, platform, url=url, role_secret=SECRET, limits=LIMITS)
        with pytest.raises(HuleEduError) as raised:
            await ask(remote)
    return raised.value


@pytest.mark.parametrize("who", OTHERS)
async def test_what_others_say_is_never_final(who: str) -> None:
    """Neither of a text that is wanted nor of one that is to be kept; the operator reads where."""
    async with answering(OTHERS[who]) as url:
        got = await fault_of(url, lambda content: content.get(ID))
        put = await fault_of(url, lambda content: content.put(TEXT))

    for fault in (got, put):
        assert isinstance(fault, PeerUnavailable)
        assert url in str(fault)
        assert "content_service_url" in str(fault)
    if b"HTTP/1.1" in OTHERS[who] and "broke off" not in who:
        assert f"/v1/content/{ID}" in str(got)
        assert OTHERS[who].split()[1].decode() in str(got)


@pytest.mark.parametrize("about", ["storage_id", "type"])
async def test_a_refusal_about_something_else_is_not_final(tmp_path: Path, about: str) -> None:
    """Our own words, but of another text: a cache that mixed up its answers, say."""
    async with store(tmp_path) as content, peer_http() as http:
        asked = await http.get(
            f"{content.url}/v1/content/{ID}", headers={"Authorization": f"Bearer {SECRET}"}
        )
    own = asked.json()
    assert asked.status_code == 404
    assert own["storage_id"] == ID
    async with answering(problem(404, **own)) as url:
        assert isinstance(await fault_of(url, lambda content: content.get(ID)), NotFound)
    async with answering(problem(404, **{**own, about: "another"})) as url:
        assert isinstance(await fault_of(url, lambda content: content.get(ID)), PeerUnavailable)
    body = json.dumps(own).encode()
    async with answering(said("404 Not Found", body, "text/html")) as url:
        assert isinstance(await fault_of(url, lambda content: content.get(ID)), PeerUnavailable)


async def test_what_our_own_store_says_is_final(tmp_path: Path) -> None:
    """An id that nothing is stored under, and a text that its limit does not take."""
    async with store(tmp_path) as content:
        unknown = storage_id_of(b"never stored")
        gone = await fault_of(content.url, lambda remote: remote.get(unknown))
        assert isinstance(gone, NotFound)
        assert unknown in str(gone)
    async with store(tmp_path, limits=Limits(text_bytes=1)) as content:
        large = await fault_of(content.url, lambda remote: remote.put(TEXT))
        assert isinstance(large, TooLarge)
        # The id of anything else than a text is not even asked for.
        assert isinstance(
            await fault_of(content.url, lambda remote: remote.get(StorageId("../x"))), NotFound
        )


@pytest.mark.parametrize("text", [b"another text", TEXT[:-1], TEXT + b"!"])
async def test_other_bytes_than_the_id_names_are_not_taken_and_not_told(text: bytes) -> None:
    """What came may be somebody's essay: it is in no message and no log."""
    async with answering(said("200 OK", text, "application/octet-stream")) as url:
        fault = await fault_of(url, lambda content: content.get(ID))

    assert isinstance(fault, PeerUnavailable)
    assert ID in str(fault)
    assert text.decode(errors="replace") not in str(fault)


async def test_the_answers_of_every_route_keep_their_form(tmp_path: Path) -> None:
    """A refusal of ours has the members of every problem, and one that names what it is about."""
    async with store(tmp_path) as content, httpx.AsyncClient() as http:
        headers = {"Authorization": f"Bearer {SECRET}"}
        answer = await http.get(f"{content.url}/v1/content/{ID}", headers=headers)

    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (told["type"], told["code"]) == ("urn:huleedu:content-unknown", "RESOURCE_NOT_FOUND")
    assert {"title", "status", "detail", "correlation_id", "storage_id"} <= set(told)
