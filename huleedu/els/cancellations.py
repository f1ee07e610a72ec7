"""Whether a batch is cancelled (see ``core.ports.Cancellations``): asked here, or over HTTP."""

from urllib.parse import quote

import anyio
import httpx
import msgspec

from huleedu.core.errors import PeerUnavailable
from huleedu.core.platform import Platform
from huleedu.els.views import is_cancelled
from huleedu.store.database import Database
from huleedu.web.peer import Peer

ASK_SECONDS_MAX = 2.0
"""An essay waits no longer than this for an answer that only saves work."""


class _BatchStatus(msgspec.Struct, frozen=True):
    batch_id: str
    is_cancelled: bool = False


class LocalCancellations:
    """Answers from the store of ELS, in a process that holds it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_cancelled(self, batch_id: str) -> bool:
        """Tell whether the batch is cancelled.  Raises ``StoreUnavailable``."""
        return await self._database.read(lambda db: is_cancelled(db, batch_id))


class RemoteCancellations:
    """Asks the API of ELS."""

    def __init__(self, http: httpx.AsyncClient, platform: Platform, *, url: str) -> None:
        """``http`` should be made by ``web.peer.peer_http``.

        Raises ``Misconfigured`` for a URL that is none.
        """
        self._peer = Peer(
            http, platform, name="ELS API", url=url, setting="essay_lifecycle_service_url"
        )

    async def is_cancelled(self, batch_id: str) -> bool:
        """Tell whether ELS says that the batch is cancelled; a batch that it does not know is not.

        Raises ``PeerUnavailable`` where no answer of ELS comes within ``ASK_SECONDS_MAX``.
        """
        path = f"/v1/batches/{quote(batch_id, safe='')}/status"
        try:
            with anyio.fail_after(ASK_SECONDS_MAX):
                answer = await self._peer.ask("GET", path)
        except TimeoutError as error:
            raise PeerUnavailable("ELS API does not answer in time") from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        if answer.status_code != httpx.codes.OK:
            raise self._peer.unexpected(answer)
        try:
            found = msgspec.json.decode(answer.content, type=_BatchStatus)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise self._peer.unexpected(answer) from error
        return found.batch_id == batch_id and found.is_cancelled
