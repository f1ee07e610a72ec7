"""Which messages of a partition are handled, while they are handled out of order."""

from bisect import bisect_left

from huleedu.transport.kafka.settled_offsets import SettledOffsets


class Window:
    """The messages of one assignment of a partition that were read and are not handled yet.

    Its size is their number: what is handled needs no room, however far behind the oldest of them
    it lies.  Offsets that hold no message for this reader, such as the marks that end a
    transaction, count as handled once a later one was read.
    """

    def __init__(self, handled: SettledOffsets) -> None:
        """Begin at the first offset that is not handled; what lies behind it may be."""
        self._before = handled
        self._read_to = handled.start
        self._waiting: list[int] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, offset: int) -> bool:
        """Note that the message at ``offset`` was read; offsets come in rising order.

        Returns False, and takes it for handled, where it was before this assignment.
        """
        self.read_to(offset + 1)
        if offset in self._before:
            return False
        self._waiting.append(offset)
        return True

    def read_to(self, offset: int) -> None:
        """Note that everything before ``offset`` was read."""
        self._read_to = max(self._read_to, offset)

    def handled(self, offset: int) -> None:
        """Note that a message that began is handled."""
        index = bisect_left(self._waiting, offset)
        assert self._waiting[index] == offset, "it did not begin"
        del self._waiting[index]

    def settled(self) -> SettledOffsets:
        """Return every offset that need not be read again."""
        if not self._waiting:
            start = self._read_to
            return SettledOffsets(start).added(list(self._before.ranges))
        follows = [offset + 1 for offset in self._waiting]
        between = zip(follows, [*self._waiting[1:], self._read_to], strict=True)
        ranges = [(first, end) for first, end in between if first < end]
        return SettledOffsets(self._waiting[0]).added([*ranges, *self._before.ranges])
