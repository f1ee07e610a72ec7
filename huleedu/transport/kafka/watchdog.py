"""A consumer that has work and does none is noticed, told of, and made anew.

The library can stop fetching for good without an error: after a lost connection, after a
rebalance.  What it knows of the log's end is then as old as its last fetch, so the broker is asked.
"""

from collections.abc import Callable, Sequence

import anyio

from huleedu.core.errors import BrokerUnavailable, TaskDied, Unavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.metrics import CONSUMER_RESTARTS
from huleedu.transport.kafka.membership import Membership
from huleedu.transport.kafka.stalls import Stall, Stalls

_LOOKS = 5  # in that time
_TOLD_AFTER = 0.5  # of that time
_SILENT = 3  # times that time: a rebalance may take 30 s
_UNANSWERED = 4
_ANSWER_SECONDS = 3.0  # the answer waits behind that to a fetch, which may take 0.5 s


class ConsumerStalled(Unavailable):
    """A consumer has to be made anew."""


class Watchdog:
    """Watches one membership.

    ``is_busy`` tells whether messages are being handled, so that nothing is to be fetched.
    """

    def __init__(
        self,
        membership: Membership,
        group: str,
        is_busy: Callable[[], bool],
        seconds: float,
    ) -> None:
        self._membership = membership
        self._group = group
        self._is_busy = is_busy
        self._seconds = seconds
        self._stalls = Stalls(seconds)
        self._unanswered_since: float | None = None
        self._trouble: str | None = None
        self._logger = create_service_logger("kafka")

    def troubles(self) -> Sequence[str]:
        """Return what is wrong by the last look; it stays until progress is seen."""
        return [] if self._trouble is None else [self._trouble]

    async def run(self) -> None:
        """Look five times in each ``seconds``, for as long as the membership lasts.

        Raises ``ConsumerStalled`` when the consumer is to be made anew, ``TaskDied`` when that was
        done three times without progress.
        """
        self._unanswered_since = None
        self._stalls.interrupted()
        while True:
            await anyio.sleep(self._seconds / _LOOKS)
            await self._look()

    async def _look(self) -> None:
        silent = self._membership.fetching_seconds()
        if silent > self._seconds * _TOLD_AFTER:
            self._stalls.interrupted()
            self._trouble = f"{self._group} has waited {silent:.0f} s for its partitions"
            if silent > self._seconds * _SILENT:
                self._restart("silent", self._trouble)
        elif self._is_busy():
            self._stalls.interrupted()
            if self._membership.fetched_seconds_ago() > self._membership.max_poll_seconds:
                self._trouble = (
                    f"{self._group} has fetched nothing for "
                    f"{self._membership.fetched_seconds_ago():.0f} s: what it handles takes as long"
                )
        else:
            await self._compare()

    async def _compare(self) -> None:
        now = anyio.current_time()
        try:
            positions = await self._membership.positions()
            ends = await self._membership.ends(list(positions), _ANSWER_SECONDS)
        except BrokerUnavailable as fault:
            self._unanswered(now, fault)
            return
        self._unanswered_since = None
        stall = self._stalls.observe(now, positions, ends)
        if stall is None or (not stall.restarts and stall.seconds < self._seconds * _TOLD_AFTER):
            self._trouble = None
            return
        self._trouble = self._told(stall)
        if stall.is_hopeless:
            self._logger.critical("consumer_given_up", group=self._group, reason=self._trouble)
            raise TaskDied(f"{self._trouble}; {stall.restarts} new consumers did not help")
        if stall.is_due:
            self._stalls.restarted(stall.partition)
            self._restart("stalled", self._trouble)

    def _unanswered(self, now: float, fault: BrokerUnavailable) -> None:
        self._stalls.interrupted()
        self._unanswered_since = self._unanswered_since or now
        self._trouble = f"{self._group}: {fault}"
        if now - self._unanswered_since > self._seconds * _UNANSWERED:
            self._restart("unanswered", self._trouble)

    def _restart(self, reason: str, told: str) -> None:
        CONSUMER_RESTARTS.labels(self._group, reason).inc()
        raise ConsumerStalled(f"{told}; its consumer is made anew")

    def _told(self, stall: Stall) -> str:
        where = f"{stall.partition.topic}[{stall.partition.partition}]"
        return (
            f"{self._group} has read nothing from {where} for {stall.seconds:.0f} s, "
            f"though {stall.behind} offsets follow {stall.position}"
        )
