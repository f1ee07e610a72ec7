"""When records that were published stay hidden from readers: pure rules over what was seen."""

from collections.abc import Mapping

from aiokafka import TopicPartition

LOOK_SECONDS = 1.0
STUCK_SECONDS = 3.0
"""Markers follow a commit by milliseconds."""


class HiddenWatch:
    """Looks, after something was published, until readers are shown everything.

    ``now`` is a monotonic time in seconds.
    """

    def __init__(self) -> None:
        self._next_look: float | None = None
        self._since: dict[tuple[TopicPartition, int], float] = {}
        self._acted_on: set[tuple[TopicPartition, int]] = set()

    def published(self, now: float) -> None:
        """Note that there is something more to be shown."""
        self._next_look = now

    def wants_look(self, now: float) -> bool:
        """Tell whether it is time to ask what is hidden."""
        return self._next_look is not None and now >= self._next_look

    def is_stuck(self, now: float, hidden: Mapping[TopicPartition, int]) -> bool:
        """Note what is hidden, and from which offset on; tell whether to settle anew for it.

        That is so once for each place: where settling does not help, somebody else's transaction
        stands there.
        """
        places = set(hidden.items())
        self._next_look = now + LOOK_SECONDS if places else None
        self._since = {place: self._since.get(place, now) for place in places}
        stuck = {place for place, since in self._since.items() if now - since >= STUCK_SECONDS}
        new = stuck - self._acted_on
        self._acted_on = stuck
        return bool(new)
