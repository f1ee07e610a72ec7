"""The content store in the process that holds it."""

from huleedu.content.identity import content_bytes_max, is_storage_id
from huleedu.content.store import DamagedContent, load, save
from huleedu.core.errors import NotFound, TooLarge
from huleedu.core.ids import StorageId
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.core.settings import Limits
from huleedu.store.database import Database

_ID_SHOWN_CHARACTERS = 40


class LocalContent:
    """Puts and gets contents by id (see ``core.ports.ContentClient``), straight from the store."""

    def __init__(self, database: Database, platform: Platform, limits: Limits) -> None:
        self._database = database
        self._platform = platform
        self._bytes_max = content_bytes_max(limits)
        self._logger = create_service_logger("content")

    async def put(self, content: bytes) -> StorageId:
        """Return the id of these bytes once they are on disk.

        Raises ``TooLarge`` past four times the text limit, ``StoreUnavailable``.
        """
        if len(content) > self._bytes_max:
            raise TooLarge(f"a content of {len(content):,} bytes; {self._bytes_max:,} are allowed")
        now = self._platform.clock.now()
        return await self._database.write(lambda connection: save(connection, content, now))

    async def get(self, storage_id: StorageId) -> bytes:
        """Return the bytes of an id.

        Raises ``NotFound`` for an id that is unknown or none, ``DamagedContent`` when the bytes
        no longer belong to their id, ``StoreUnavailable``.
        """
        if not is_storage_id(storage_id):
            raise NotFound(f"{storage_id[:_ID_SHOWN_CHARACTERS]!r} is not the id of a content")
        try:
            return await self._database.read(lambda connection: load(connection, storage_id))
        except DamagedContent as error:
            # Without a traceback, whose variables would put the text into the log.
            self._logger.error("content_damaged", storage_id=storage_id, error=str(error))  # noqa: TRY400
            raise
