"""Consuming without a store: an answer is published, and only then the offset committed.

Several messages are under way at once, never two with one key.  One that must come again waits
without taking a place: it holds up its own key and the commit behind it, not the work.
"""

from collections import deque
from collections.abc import Mapping, Sequence

import anyio
from aiokafka import ConsumerRecord, TopicPartition
from anyio.abc import TaskGroup

from huleedu.core.platform import Platform
from huleedu.transport.failures import pause_seconds
from huleedu.transport.kafka.group import Group
from huleedu.transport.kafka.membership import Membership, message_of
from huleedu.transport.kafka.partition_progress import NoProgress
from huleedu.transport.kafka.window import Window
from huleedu.transport.protocol import Subscription

PLACE_WAIT_SECONDS = 0.2
WINDOW_MESSAGES_MAX = 1_000  # of one partition, behind the oldest that is not handled


class _Partition:
    """One assignment of a partition."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.window = Window()
        self.by_key: dict[bytes | None, deque[ConsumerRecord]] = {}
        self.is_paused = False


class StatelessGroup(Group):
    """As many single messages at once as the subscription's concurrency allows."""

    def __init__(
        self,
        membership: Membership,
        subscription: Subscription,
        platform: Platform,
        watchdog_seconds: float,
    ) -> None:
        super().__init__(membership, subscription, platform, watchdog_seconds)
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._places = anyio.Semaphore(subscription.concurrency)
        self._under_way = 0  # keys whose message is handled or waits for a place
        self._place_freed = anyio.Event()

    async def _consume(self, tasks: TaskGroup) -> None:
        self._partitions.clear()
        self._under_way = 0
        while True:
            await self._place()
            free = self._subscription.concurrency - self._under_way
            if free > 0:
                for partition, several in (await self._membership.fetch(free)).items():
                    self._begin(partition, several, tasks)
            else:
                with anyio.move_on_after(PLACE_WAIT_SECONDS):
                    await self._place_freed.wait()
            self._pause_or_resume()
            await self._commit()
            await self._commit_now_and_then()

    def _is_busy(self) -> bool:
        return self._under_way >= self._subscription.concurrency

    def _is_in_hand(self, partition: TopicPartition) -> bool:
        return len(self._partitions[partition].window) > 0

    async def _positions(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        return await self._membership.committed(partitions)

    def _note_placed(self, partition: TopicPartition, position: int | None) -> None:
        del position
        self._partitions[partition] = _Partition(self._placed[partition])

    def _begin(
        self, tp: TopicPartition, records: Sequence[ConsumerRecord], tasks: TaskGroup
    ) -> None:
        if tp not in self._placed:
            return
        partition = self._partitions[tp]
        for record in records:
            partition.window.begin(record.offset)
            waiting = partition.by_key.get(record.key)
            if waiting is None:
                partition.by_key[record.key] = deque([record])
                self._under_way += 1
                tasks.start_soon(self._work, tp, partition, record.key)
            else:
                waiting.append(record)

    def _pause_or_resume(self) -> None:
        for tp, partition in self._partitions.items():
            is_full = len(partition.window) >= WINDOW_MESSAGES_MAX
            if is_full != partition.is_paused and tp in self._placed:
                (self._membership.pause if is_full else self._membership.resume)(tp)
                partition.is_paused = is_full

    async def _work(self, tp: TopicPartition, partition: _Partition, key: bytes | None) -> None:
        """Handle the messages of one key in order, until none is left or the partition is gone."""
        waiting = partition.by_key[key]
        try:
            while waiting and await self._handle(tp, partition, waiting[0]):
                record = waiting.popleft()
                next_offset = partition.window.handled(record.offset)
                if next_offset is not None and self._is_ours(tp, partition):
                    self._to_commit[tp] = next_offset
        finally:
            del partition.by_key[key]
            self._leave_place()

    async def _handle(
        self, tp: TopicPartition, partition: _Partition, record: ConsumerRecord
    ) -> bool:
        """Return once the message is handled or set aside; False when it is no longer ours."""
        message = message_of(record)
        progress = NoProgress([message])
        attempt = 1
        try:
            while self._is_ours(tp, partition):
                delivery = self._deliverer.delivery([message], attempt, progress)
                async with self._places:
                    with anyio.CancelScope(shield=True):
                        outcome = await self._deliver(delivery)
                if outcome.is_done:
                    return True
                self._leave_place()
                try:
                    await anyio.sleep(pause_seconds(attempt, self._platform.random))
                finally:
                    self._under_way += 1
                attempt += 1
            return False
        finally:
            self._deliverer.forget([message])

    def _is_ours(self, tp: TopicPartition, partition: _Partition) -> bool:
        return self._membership.assigned.get(tp) == partition.generation

    def _leave_place(self) -> None:
        self._under_way -= 1
        freed, self._place_freed = self._place_freed, anyio.Event()
        freed.set()
