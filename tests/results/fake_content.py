"""Stored texts in a dict, some of them out of reach."""

from collections.abc import Mapping

from huleedu.core.errors import NotFound, PeerUnavailable
from huleedu.core.ids import StorageId


class FakeContent:
    """Gives what it was given; ``away`` holds the ids that cannot be read for now."""

    def __init__(self, stored: Mapping[str, bytes]) -> None:
        self.stored = dict(stored)
        self.away: set[str] = set()

    async def put(self, content: bytes) -> StorageId:
        raise AssertionError(f"results stores nothing, not even {content!r}")

    async def get(self, storage_id: StorageId) -> bytes:
        if storage_id in self.away:
            raise PeerUnavailable("the content store does not answer")
        if storage_id not in self.stored:
            raise NotFound(f"no content is stored under {storage_id}")
        return self.stored[storage_id]
