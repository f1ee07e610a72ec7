"""Where a consumer goes on in a partition: where the group stands, if the log has that."""

from dataclasses import dataclass
from enum import Enum, auto

from huleedu.store.positions import Position


class Oddity(Enum):
    """A position that does not fit the log; each is alarmed."""

    BEYOND_THE_END = auto()
    """The topic was made anew, or its log lost its end: start at the beginning."""
    MADE_ANEW = auto()
    """The topic has another id than the one the position is in: start at the beginning."""
    BEFORE_THE_BEGINNING = auto()
    """Messages were deleted before they were read: stop until somebody says where to go on."""


@dataclass(frozen=True)
class Log:
    """What the broker has of a partition: first and following offset, id of the topic."""

    begins: int
    ends: int
    topic_id: str | None = None
    """None: the broker does not tell (before Kafka 2.8)."""


@dataclass(frozen=True)
class Placement:
    """``offset`` to seek to; None: the partition stays stopped."""

    offset: int | None
    oddity: Oddity | None = None
    lost: range = range(0)
    """Which offsets were deleted before they were read."""


def placement(position: Position | None, log: Log) -> Placement:
    """Return where to go on, from where the group stands and what the log has."""
    if position is None:
        return Placement(log.begins)
    if _is_another_topic(position.topic_id, log.topic_id):
        # Of the new topic nothing was read, also where the old position fits into its log.
        if log.begins > 0:
            return Placement(None, Oddity.BEFORE_THE_BEGINNING, range(log.begins))
        return Placement(log.begins, Oddity.MADE_ANEW)
    if position.next_offset > log.ends:
        return Placement(log.begins, Oddity.BEYOND_THE_END)
    if position.next_offset < log.begins:
        lost = range(position.next_offset, log.begins)
        return Placement(None, Oddity.BEFORE_THE_BEGINNING, lost)
    return Placement(position.next_offset)


def _is_another_topic(known: str | None, found: str | None) -> bool:
    return None not in (known, found) and known != found
