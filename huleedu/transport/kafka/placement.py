"""Where a consumer with a store goes on in a partition: where its own store says, if it can."""

from dataclasses import dataclass
from enum import Enum, auto


class Oddity(Enum):
    """A position that the log does not have; each is alarmed."""

    BEYOND_THE_END = auto()
    """The topic was made anew: start at its beginning."""
    BEFORE_THE_BEGINNING = auto()
    """Retention deleted what was not read: stop, a human must decide."""


@dataclass(frozen=True)
class Placement:
    """``offset`` to seek to; None: the partition stays stopped."""

    offset: int | None
    oddity: Oddity | None = None


def placement(position: int | None, beginning: int, end: int) -> Placement:
    """Return where to go on, from the store's position and the log's first and next offsets."""
    if position is None:
        return Placement(beginning)
    if position > end:
        return Placement(beginning, Oddity.BEYOND_THE_END)
    if position < beginning:
        return Placement(None, Oddity.BEFORE_THE_BEGINNING)
    return Placement(position)
