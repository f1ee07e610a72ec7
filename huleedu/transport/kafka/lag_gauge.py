"""How many messages wait for a group in the partitions that this process holds, as a metric."""

from collections.abc import Callable, Sequence

import anyio
from aiokafka import TopicPartition

from huleedu.core.errors import BrokerUnavailable
from huleedu.core.metrics import TRANSPORT_LAG
from huleedu.transport.kafka.membership import Membership

LAG_SECONDS = 5.0
"""How often it is measured."""
_ANSWER_SECONDS = 3.0


class LagGauge:
    """Measures for one group; ``stands_at`` tells up to where it has handled a partition.

    Added up over the processes it is what ``huleedu topics list`` shows.
    """

    def __init__(
        self,
        membership: Membership,
        group: str,
        topics: Sequence[str],
        stands_at: Callable[[TopicPartition], int | None],
    ) -> None:
        self._membership = membership
        self._group = group
        self._topics = topics
        self._stands_at = stands_at

    async def run(self) -> None:
        """Measure until cancelled; what is left to others afterwards is not ours to count."""
        try:
            while True:
                await self._measure()
                await anyio.sleep(LAG_SECONDS)
        finally:
            self._set({})

    async def _measure(self) -> None:
        held = list(self._membership.assigned)
        try:
            ends = await self._membership.ends(held, _ANSWER_SECONDS) if held else {}
        except BrokerUnavailable:
            return  # the watchdog tells of it
        lags: dict[str, int] = {}
        for partition in held:
            at = self._stands_at(partition)
            if at is not None:
                lag = max(0, ends[partition] - at)
                lags[partition.topic] = lags.get(partition.topic, 0) + lag
        self._set(lags)

    def _set(self, lags: dict[str, int]) -> None:
        for topic in self._topics:
            TRANSPORT_LAG.labels(topic, self._group).set(lags.get(topic, 0))
