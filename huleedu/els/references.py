"""Where the texts of a batch are (see ``core.ports.EssayReferences``): asked here, or over HTTP."""

from collections.abc import Sequence
from urllib.parse import quote

import httpx
import msgspec

from huleedu.core.errors import NotFound
from huleedu.core.messages import EssayProcessingInputRefV1
from huleedu.core.platform import Platform
from huleedu.els.views import batch_essays
from huleedu.store.database import Database
from huleedu.web.peer import Peer
from huleedu.web.refusals import is_final

BATCH_UNKNOWN = "urn:huleedu:els:batch-unknown"
"""ELS does not know this ``batch_id``, in its own words (see ``web.refusals``)."""


class _BatchEssays(msgspec.Struct, frozen=True):
    batch_id: str
    essays: list[EssayProcessingInputRefV1]


class LocalReferences:
    """Answers from the store of ELS, in a process that holds it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_batch(self, batch_id: str) -> Sequence[EssayProcessingInputRefV1]:
        """Return the essays of a batch that have a text.

        Raises ``NotFound``, ``StoreUnavailable``.
        """
        found = await self._database.read(lambda db: batch_essays(db, batch_id))
        return msgspec.convert(found, _BatchEssays).essays


class RemoteReferences:
    """Asks the API of ELS."""

    def __init__(self, http: httpx.AsyncClient, platform: Platform, *, url: str) -> None:
        """``http`` should be made by ``web.peer.peer_http``.

        Raises ``Misconfigured`` for a URL that is none.
        """
        self._peer = Peer(
            http, platform, name="ELS API", url=url, setting="essay_lifecycle_service_url"
        )

    async def of_batch(self, batch_id: str) -> Sequence[EssayProcessingInputRefV1]:
        """Return the essays of a batch that have a text.

        Raises ``NotFound`` where ELS itself says that it does not know the batch,
        ``PeerUnavailable`` for everything else that may come.
        """
        answer = await self._peer.ask("GET", f"/v1/batches/{quote(batch_id, safe='')}/essays")
        if is_final(answer, BATCH_UNKNOWN, batch_id=batch_id):
            raise NotFound(f"ELS knows no batch {batch_id!r}")
        if answer.status_code != httpx.codes.OK:
            raise self._peer.unexpected(answer)
        try:
            found = msgspec.json.decode(answer.content, type=_BatchEssays)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise self._peer.unexpected(answer) from error
        if found.batch_id != batch_id:
            raise self._peer.unexpected(answer)
        return found.essays
