"""What modules need of one another, as promises; the composition root hands in who keeps them."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from huleedu.core.ids import StorageId
from huleedu.core.messages import EssayProcessingInputRefV1


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


class EssayReferences(Protocol):
    """Where the texts of a batch are, as ELS knows it."""

    async def of_batch(self, batch_id: str) -> Sequence[EssayProcessingInputRefV1]:
        """Return the essays of a batch that have a text, in the order of registration.

        Raises ``NotFound`` for a batch that ELS does not know, or ``Unavailable`` for now.
        """
        ...


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What was accepted of a batch, whoever has heard of it by now."""

    attempt: int = 1
    """Which spell-check of the batch counts; each retry that is accepted adds 1."""
    is_cancelled: bool = False


class AcceptedActions(Protocol):
    """What BOS, in this process, has accepted."""

    async def of_batch(self, batch_id: str) -> Accepted:
        """Return what was accepted of a batch; of an unknown one, that is nothing.

        Raises ``Unavailable`` for now.
        """
        ...


class Cancellations(Protocol):
    """Which batches are cancelled, as ELS knows it."""

    async def is_cancelled(self, batch_id: str) -> bool:
        """Tell whether a batch is cancelled; one that ELS does not know is not.

        Raises ``Unavailable`` for now.
        """
        ...
