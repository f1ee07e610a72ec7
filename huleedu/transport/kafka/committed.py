"""What a group without a store keeps on the broker: its offset, and a text beside it."""

import re

import msgspec

from huleedu.core.errors import Conflict, Misconfigured
from huleedu.store.positions import Position
from huleedu.transport.kafka.settled_offsets import SettledOffsets

_FORM = re.compile(r"huleedu=([A-Za-z0-9_-]*);(.*)", re.ASCII | re.DOTALL)


class Committed(msgspec.Struct, frozen=True):
    """Which messages of a partition are handled, and the topic that they belong to.

    The offset committed is that of the oldest message that is not handled.  The text beside it
    names the topic's id and the messages behind the offset that are handled, so that these do not
    come again after a restart.
    """

    handled: SettledOffsets
    topic_id: str | None = None

    @property
    def position(self) -> Position:
        """Where the group stands: before the oldest message that is not handled."""
        return Position(self.handled.start, self.topic_id)

    @property
    def fits(self) -> bool:
        """Whether all of it can be kept."""
        try:
            self.handled.as_text()
        except Conflict:
            return False
        return True

    def as_text(self) -> str:
        """Return the text to keep beside the offset.

        Where not everything fits, what lies farthest behind the offset is left out: it comes again
        after a restart.
        """
        kept = self
        while not kept.fits:
            ranges = kept.handled.ranges
            shorter = SettledOffsets(kept.handled.start, ranges[: len(ranges) // 2])
            kept = Committed(shorter, self.topic_id)
        return f"huleedu={self.topic_id or ''};{kept.handled.as_text()}"

    @classmethod
    def from_text(cls, offset: int, text: str) -> "Committed":
        """Return what was kept as this offset and text.

        A text of somebody else (an older program, a tool that moved the offset) tells nothing: the
        group stands at the offset.
        """
        ours = _FORM.fullmatch(text)
        if ours is None:
            return cls(SettledOffsets(offset))
        topic_id, ranges = ours.groups()
        try:
            handled = SettledOffsets.from_text(offset, ranges)
        except Misconfigured:
            handled = SettledOffsets(offset)
        return cls(handled, topic_id or None)
