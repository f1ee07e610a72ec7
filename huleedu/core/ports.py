"""What modules need of one another, as promises; the composition root hands in who keeps them."""

from typing import Protocol

from huleedu.core.ids import StorageId


class ContentClient(Protocol):
    """Immutable texts by their content: equal bytes have one id."""

    async def put(self, content: bytes) -> StorageId:
        """Return the id (32 hex characters) once the bytes are durable.

        Raises ``TooLarge`` past the text limit, ``Unavailable`` when the store does not take it.
        """
        ...

    async def get(self, storage_id: StorageId) -> bytes:
        """Return the bytes.  Raises ``NotFound``, or ``Unavailable`` for now."""
        ...
