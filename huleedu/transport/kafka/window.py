"""Which offsets may be committed while messages of a partition are handled out of order."""

from collections import deque


class Window:
    """Messages of one partition under way, oldest first."""

    def __init__(self) -> None:
        self._offsets: deque[int] = deque()
        self._handled: set[int] = set()

    def __len__(self) -> int:
        return len(self._offsets)

    def begin(self, offset: int) -> None:
        """Note that the message at ``offset`` is under way; offsets come in rising order."""
        self._offsets.append(offset)

    def handled(self, offset: int) -> int | None:
        """Note that a message was handled.

        Returns the next offset that the group should read after a restart, where that moved:
        every message before it is handled.
        """
        self._handled.add(offset)
        next_offset: int | None = None
        while self._offsets and self._offsets[0] in self._handled:
            oldest = self._offsets.popleft()
            self._handled.remove(oldest)
            next_offset = oldest + 1
        return next_offset
