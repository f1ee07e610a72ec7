"""Names for identifiers, and where new ones come from."""

from typing import NewType, Protocol
from uuid import UUID, uuid4, uuid5

BatchId = NewType("BatchId", str)
EssayId = NewType("EssayId", str)
StorageId = NewType("StorageId", str)

# Any fixed UUID would do; changing it would make every repeated event look like a new one.
_EVENT_NAMESPACE = UUID("6f0c1c52-6f7d-5d0b-8f0e-3a5d8a3b7a11")


class Ids(Protocol):
    """A source of new random identifiers."""

    def new(self) -> UUID:
        """Return an identifier that nothing else has."""
        ...


class RandomIds:
    """Identifiers from the system's randomness (UUID version 4)."""

    def new(self) -> UUID:
        """Return a random UUID."""
        return uuid4()


def derived_event_id(*cause: str) -> UUID:
    """Return the id of the event that follows from ``cause``: the same cause, the same id.

    A second attempt at saying something therefore says it under the same id, and readers can
    drop the repeat.  The parts are joined so that no two causes run together.
    """
    return uuid5(_EVENT_NAMESPACE, "\x1f".join(cause))
