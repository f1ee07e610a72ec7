"""Where the texts of a batch are, asked of ELS in its process and from another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from huleedu.core.errors import NotFound, PeerUnavailable
from huleedu.core.messages import EssayProcessingInputRefV1
from huleedu.core.platform import Platform
from huleedu.core.ports import EssayReferences
from huleedu.core.settings import Limits
from huleedu.els import MIGRATIONS, LocalReferences, RemoteReferences, routes
from huleedu.els.handlers import EssayLifecycle
from huleedu.els.references import BATCH_UNKNOWN
from huleedu.store.database import Database
from huleedu.web.application import build_application
from huleedu.web.peer import peer_http
from tests.support.builders import AT, content_ready, hear, registered
from tests.support.http import NotedPauses, served
from tests.support.other_peers import OTHERS, answering, problem, said

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def asked(directory: Path, way: str) -> AsyncIterator[EssayReferences]:
    """An ELS that knows the texts of two of batch b 1's three essays."""
    platform = Platform()
    database = Database(directory / "els.db", MIGRATIONS, platform.hops)
    await database.open()
    messages = [
        registered("b 1", ["e3", "e2", "e1"]),
        content_ready("b 1", "e1", "text-e1"),
        content_ready("b 1", "e3", "text-e3"),
    ]
    heard = [hear(message) for message in messages]
    await database.write(lambda db: EssayLifecycle().apply(db, heard, AT))
    if way == "here":
        yield LocalReferences(database)
    else:
        application = build_application(routes(database), platform=platform, limits=Limits())
        async with served(application) as url, peer_http() as http:
            yield RemoteReferences(http, platform, url=url)
    await database.close()


@pytest.mark.parametrize("way", ["here", "over HTTP"])
async def test_the_texts_of_a_batch_come_in_the_order_of_registration(
    tmp_path: Path, way: str
) -> None:
    """Of the essays that have one; a batch that ELS does not know is not found."""
    async with asked(tmp_path, way) as references:
        with pytest.raises(NotFound):
            await references.of_batch("other")

        assert await references.of_batch("b 1") == [
            EssayProcessingInputRefV1(essay_id="e3", text_storage_id="text-e3"),
            EssayProcessingInputRefV1(essay_id="e1", text_storage_id="text-e1"),
        ]


ESSAYS_OF_ANOTHER = said("200 OK", b'{"batch_id": "c", "essays": []}', "application/json")
UNKNOWN_OTHER = problem(404, type=BATCH_UNKNOWN, batch_id="c")


@pytest.mark.parametrize(
    "answer", [*OTHERS.values(), ESSAYS_OF_ANOTHER, UNKNOWN_OTHER], ids=[*OTHERS, "b c", "no c"]
)
async def test_what_others_say_is_never_final(answer: bytes) -> None:
    """The message that asked for the texts waits, and the operator reads who answered what."""
    async with answering(answer) as url, peer_http() as http:
        references = RemoteReferences(http, Platform(clock=NotedPauses()), url=url)

        with pytest.raises(PeerUnavailable, match="essay_lifecycle_service_url") as raised:
            await references.of_batch("b")

    assert url in str(raised.value)
