"""Consuming without a store: an answer is published, and only then the offset committed.

Several messages are under way at once, never two with one key.  One that must come again waits
without taking a place: it holds up its own key and nothing else.  What is handled behind it is
noted beside the offset that is committed, and does not come again after a restart.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence

import anyio
from aiokafka import ConsumerRecord, TopicPartition
from anyio.abc import TaskGroup

from huleedu.core.platform import Platform
from huleedu.store.positions import Position
from huleedu.transport.failures import pause_seconds
from huleedu.transport.kafka.committed import Committed
from huleedu.transport.kafka.group import Group, name_of
from huleedu.transport.kafka.membership import Membership, message_of
from huleedu.transport.kafka.partition_progress import NoProgress
from huleedu.transport.kafka.settled_offsets import SettledOffsets
from huleedu.transport.kafka.window import Window
from huleedu.transport.protocol import Subscription

PLACE_WAIT_SECONDS = 0.2
WINDOW_MESSAGES_MAX = 5_000
"""Messages of one partition that are read and not handled: no more are read meanwhile."""


class _Partition:
    """One assignment of a partition."""

    def __init__(self, generation: int, committed: Committed) -> None:
        self.generation = generation
        self.topic_id = committed.topic_id
        self.window = Window(committed.handled)
        self.by_key: dict[bytes | None, deque[ConsumerRecord]] = {}
        self.fits = True
        """Whether all that is handled behind what waits was kept beside the offset."""
        self.is_paused = False

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be read before something that waits is handled."""
        return not self.fits or len(self.window) >= WINDOW_MESSAGES_MAX


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
        self._kept: Mapping[TopicPartition, Committed] = {}
        self._places = anyio.Semaphore(subscription.concurrency)
        self._under_way = 0  # keys whose message is handled or waits for a place
        self._place_freed = anyio.Event()
        self._handled = anyio.Event()

    async def _consume(self, tasks: TaskGroup) -> None:
        self._partitions.clear()
        self._under_way = 0
        tasks.start_soon(self._commit_what_is_handled)
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
            await self._commit_now_and_then()

    async def _commit_what_is_handled(self) -> None:
        """Commit at once, so that as little as may be comes again after a crash."""
        while True:
            await self._handled.wait()
            self._handled = anyio.Event()
            await self._commit()

    def _is_busy(self) -> bool:
        return self._under_way >= self._subscription.concurrency

    def _is_in_hand(self, partition: TopicPartition) -> bool:
        return len(self._partitions[partition].window) > 0

    async def _positions(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, Position | None]:
        self._kept = await self._membership.committed(partitions)
        return {tp: self._kept[tp].position if tp in self._kept else None for tp in partitions}

    async def _note_positions(
        self, moves: Mapping[TopicPartition, tuple[Position | None, Position]]
    ) -> Collection[TopicPartition]:
        return await self._membership.commit(
            {tp: self._begins(tp, to) for tp, (_, to) in moves.items()}
        )

    def _note_placed(self, partition: TopicPartition, position: Position) -> None:
        begins = self._begins(partition, position)
        self._partitions[partition] = _Partition(self._placed[partition], begins)

    def _begins(self, partition: TopicPartition, position: Position) -> Committed:
        kept = self._kept.get(partition)
        if kept is not None and kept.handled.start == position.next_offset:
            return Committed(kept.handled, position.topic_id)
        return Committed(SettledOffsets(position.next_offset), position.topic_id)

    def _note_read_to(self, partition: TopicPartition, offset: int) -> None:
        self._partitions[partition].window.read_to(offset)

    def _to_tell(self, partition: TopicPartition) -> Committed:
        one = self._partitions[partition]
        committed = Committed(one.window.settled(), one.topic_id)
        one.fits = committed.fits
        return committed

    def _begin(
        self, tp: TopicPartition, records: Sequence[ConsumerRecord], tasks: TaskGroup
    ) -> None:
        if tp not in self._placed:
            return
        partition = self._partitions[tp]
        for record in records:
            if not partition.window.begin(record.offset):
                continue
            waiting = partition.by_key.get(record.key)
            if waiting is None:
                partition.by_key[record.key] = deque([record])
                self._under_way += 1
                tasks.start_soon(self._work, tp, partition, record.key)
            else:
                waiting.append(record)

    def _pause_or_resume(self) -> None:
        for tp, partition in self._partitions.items():
            is_full = partition.is_full
            if is_full == partition.is_paused or tp not in self._placed:
                continue
            partition.is_paused = is_full
            if is_full:
                self._membership.pause(tp)
                self._troubles[name_of(tp)] = (
                    f"{self._subscription.group} reads nothing more from {name_of(tp)}: "
                    f"{len(partition.window):,} messages wait to be tried again, as many as may"
                )
            else:
                self._membership.resume(tp)
                self._troubles.pop(name_of(tp), None)

    async def _work(self, tp: TopicPartition, partition: _Partition, key: bytes | None) -> None:
        """Handle the messages of one key in order, until none is left or the partition is gone."""
        waiting = partition.by_key[key]
        try:
            while waiting and await self._handle(tp, partition, waiting[0]):
                record = waiting.popleft()
                partition.window.handled(record.offset)
                if self._is_ours(tp, partition):
                    self._to_commit.add(tp)
                    self._handled.set()
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
        is_placed = self._partitions.get(tp) is partition  # and not placed anew since
        return is_placed and self._membership.assigned.get(tp) == partition.generation

    def _leave_place(self) -> None:
        self._under_way -= 1
        freed, self._place_freed = self._place_freed, anyio.Event()
        freed.set()
