"""Notices that a topic was deleted and created again while it is read."""

import anyio
from aiokafka import TopicPartition

from huleedu.core.errors import BrokerUnavailable
from huleedu.transport.kafka.membership import Membership

LOOK_SECONDS = 5.0


class TopicWatch:
    """Compares the topics of one membership with those in which its partitions were placed."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._placed_in: dict[TopicPartition, str | None] = {}
        self._now: dict[str, str] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            try:
                topics = {tp.topic for tp in self._placed_in}
                self._now = dict(await self._membership.topic_ids(topics)) if topics else {}
            except BrokerUnavailable:
                continue  # the watchdog tells of it

    def note(self, partition: TopicPartition, topic_id: str | None) -> None:
        """Note in which topic a partition was placed."""
        self._placed_in[partition] = topic_id
        self._now.pop(partition.topic, None)

    def forget(self, partition: TopicPartition) -> None:
        """Forget a partition that was taken away."""
        self._placed_in.pop(partition, None)

    def clear(self) -> None:
        """Forget all of them."""
        self._placed_in.clear()
        self._now.clear()

    def made_anew(self) -> frozenset[TopicPartition]:
        """Return the partitions whose topic has another id than when they were placed."""
        return frozenset(
            tp
            for tp, topic_id in self._placed_in.items()
            if topic_id is not None and self._now.get(tp.topic, topic_id) != topic_id
        )
