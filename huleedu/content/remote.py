"""The content store in another process, over HTTP."""

import httpx
import msgspec

from huleedu.content.answers import DIFFERENT, TOO_LARGE, UNKNOWN
from huleedu.content.identity import content_bytes_max, is_storage_id, storage_id_of
from huleedu.content.store import DifferentContent
from huleedu.core.errors import Misconfigured, NotFound, PeerUnavailable, TooLarge
from huleedu.core.ids import StorageId
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits
from huleedu.web.peer import Peer
from huleedu.web.refusals import is_final

_ID_SHOWN_CHARACTERS = 40


class SecretRefused(PeerUnavailable):
    """The content store does not take our role secret; whoever set it can heal that."""


class _Stored(msgspec.Struct, frozen=True):
    storage_id: str


class RemoteContent:
    """Puts and gets contents by id (see ``core.ports.ContentClient``), from the role ``content``.

    Equal bytes have one id, so that everything may be asked twice.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        platform: Platform,
        *,
        url: str,
        role_secret: str,
        limits: Limits,
    ) -> None:
        """``http`` should be made by ``web.peer.peer_http``.

        Raises ``Misconfigured`` for an empty secret or a URL that is none.
        """
        if not role_secret:
            raise Misconfigured(
                "role_secret is empty: the content store would not answer. Set HULEEDU_ROLE_SECRET "
                "to the same value in every role"
            )
        self._bytes_max = content_bytes_max(limits)
        self._peer = Peer(
            http,
            platform,
            name="content store",
            url=url,
            setting="content_service_url",
            headers={b"Authorization": f"Bearer {role_secret}".encode()},
        )

    async def put(self, content: bytes) -> StorageId:
        """Return the id of these bytes once they are durable there.

        Raises ``TooLarge``, ``DifferentContent``, ``SecretRefused``, ``PeerUnavailable``.
        """
        if len(content) > self._bytes_max:
            raise TooLarge(f"a content of {len(content):,} bytes; {self._bytes_max:,} are allowed")
        answer = await self._peer.ask("POST", "/v1/content", content=content)
        match answer.status_code:
            case 201:
                return self._stored(answer, content)
            case 409 if is_final(answer, DIFFERENT):
                raise DifferentContent("another content is stored under the id of this one")
            case 413 if is_final(answer, TOO_LARGE):
                raise TooLarge(f"the content store does not take {len(content):,} bytes")
            case _:
                raise self._refused(answer)

    async def get(self, storage_id: StorageId) -> bytes:
        """Return the bytes of an id.

        Raises ``NotFound`` for an id that is not one, or of which the store itself says that it is
        unknown; ``SecretRefused``; ``PeerUnavailable`` for everything else that may come.
        """
        if not is_storage_id(storage_id):
            raise NotFound(f"{storage_id[:_ID_SHOWN_CHARACTERS]!r} is not the id of a content")
        answer = await self._peer.ask("GET", f"/v1/content/{storage_id}")
        match answer.status_code:
            case 200:
                if storage_id_of(answer.content) != storage_id:
                    detail = f"{len(answer.content)} bytes that {storage_id} does not name"
                    raise self._peer.unexpected(answer, detail=detail)
                return answer.content
            case 404 if is_final(answer, UNKNOWN, storage_id=storage_id):
                raise NotFound(f"no content is stored under {storage_id}")
            case _:
                raise self._refused(answer)

    def _stored(self, answer: httpx.Response, content: bytes) -> StorageId:
        try:
            stored = msgspec.json.decode(answer.content, type=_Stored)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise self._peer.unexpected(answer) from error
        if stored.storage_id != storage_id_of(content):
            raise self._peer.unexpected(answer)
        return StorageId(stored.storage_id)

    def _refused(self, answer: httpx.Response) -> PeerUnavailable:
        if answer.status_code in (401, 403):
            return SecretRefused(
                f"the content store refused the role secret ({answer.status_code}): set "
                "HULEEDU_ROLE_SECRET (role_secret) to the same value in every role"
            )
        return self._peer.unexpected(answer)
