"""When a consumer is to be made anew: pure rules over what was seen of its partitions."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition

RESTARTS_MAX = 3


@dataclass(frozen=True)
class Stall:
    """A partition that has messages and from which nothing is read."""

    partition: TopicPartition
    position: int
    behind: int
    seconds: float
    """Since it was first seen here, restarts included."""
    restarts: int
    """How often the consumer was made anew for it, at this position."""
    is_due: bool
    """Whether it is time to make the consumer anew."""

    @property
    def is_hopeless(self) -> bool:
        """Whether that was tried often enough."""
        return self.is_due and self.restarts >= RESTARTS_MAX


@dataclass
class _Standstill:
    position: int
    since: float
    watched_since: float | None
    restarts: int = 0


class Stalls:
    """Partitions that stand still although they have messages.

    A partition is due when it was seen at one position, with messages behind it, for ``seconds``
    without an interruption; each restart gives it that time anew.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._standing: dict[TopicPartition, _Standstill] = {}

    def observe(
        self,
        now: float,
        positions: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> Stall | None:
        """Note where the consumer stands in each partition and where what it may read ends.

        Returns the worst stall.  Partitions that are not named are forgotten: they are no longer
        held, or deliberately not read.
        """
        before, self._standing = self._standing, {}
        for partition, position in positions.items():
            if position < ends[partition]:
                known = before.get(partition)
                if known is None or known.position != position:
                    known = _Standstill(position, now, now)
                elif known.watched_since is None:
                    known.watched_since = now
                self._standing[partition] = known
        stalls = [self._stall(now, tp, ends[tp]) for tp in self._standing]
        return max(stalls, key=lambda one: (one.is_due, one.seconds), default=None)

    def interrupted(self) -> None:
        """Note that nothing can be told for now: nobody is to blame for the time until then."""
        self._standing = {tp: one for tp, one in self._standing.items() if one.restarts}
        for one in self._standing.values():
            one.watched_since = None

    def restarted(self, partition: TopicPartition) -> None:
        """Note that the consumer is made anew because of this partition."""
        self._standing[partition].restarts += 1
        self.interrupted()

    def _stall(self, now: float, partition: TopicPartition, end: int) -> Stall:
        one = self._standing[partition]
        assert one.watched_since is not None
        return Stall(
            partition,
            one.position,
            end - one.position,
            seconds=now - one.since,
            restarts=one.restarts,
            is_due=now - one.watched_since >= self._seconds,
        )
