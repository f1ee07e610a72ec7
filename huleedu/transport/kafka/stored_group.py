"""Consuming into a store: the positions are kept there, beside the effects."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence

import anyio
from aiokafka import ConsumerRecord, TopicPartition
from anyio.abc import TaskGroup

from huleedu.core.platform import Platform
from huleedu.store import positions
from huleedu.store.database import Database
from huleedu.store.positions import Position, Superseded
from huleedu.transport.delivering import Fate
from huleedu.transport.failures import pause_seconds
from huleedu.transport.kafka.committed import Committed
from huleedu.transport.kafka.group import Group, last_offset
from huleedu.transport.kafka.membership import Membership, Records, message_of
from huleedu.transport.kafka.partition_progress import PartitionProgress, Step
from huleedu.transport.kafka.settled_offsets import SettledOffsets
from huleedu.transport.protocol import Delivery, Subscription


class StoredGroup(Group):
    """One fetch, one transaction; after a failure message by message, partition by partition."""

    def __init__(
        self,
        membership: Membership,
        subscription: Subscription,
        database: Database,
        platform: Platform,
        watchdog_seconds: float,
    ) -> None:
        super().__init__(membership, subscription, platform, watchdog_seconds)
        self._database = database
        self._seen: dict[TopicPartition, Position] = {}
        self._read_to: dict[TopicPartition, int] = {}

    async def _consume(self, tasks: TaskGroup) -> None:
        while True:
            await self._place()
            records = await self._membership.fetch(self._subscription.batch_max)
            if records:
                # What is in hand when the program stops is finished.
                with anyio.CancelScope(shield=True):
                    async with self._membership.handling:
                        await self._handle(records, tasks)
            await self._commit_now_and_then()

    def _is_busy(self) -> bool:
        return self._membership.handling.locked()

    def _is_in_hand(self, partition: TopicPartition) -> bool:
        del partition
        return False  # while they are handled nobody asks, and after a failure it is paused

    async def _positions(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, Position | None]:
        group = self._subscription.group

        def query(connection: sqlite3.Connection) -> Mapping[TopicPartition, Position | None]:
            return {tp: positions.read(connection, group, *tp) for tp in partitions}

        return await self._database.read(query)

    async def _note_positions(
        self, moves: Mapping[TopicPartition, tuple[Position | None, Position]]
    ) -> Collection[TopicPartition]:
        group = self._subscription.group

        def work(connection: sqlite3.Connection) -> None:
            for partition, (seen, to) in moves.items():
                positions.move(connection, group, *partition, seen=seen, to=to)

        try:
            await self._database.write(work)
        except Superseded:
            return ()
        return moves.keys()

    def _note_placed(self, partition: TopicPartition, position: Position) -> None:
        self._seen[partition] = position
        self._read_to[partition] = position.next_offset
        self._to_commit.add(partition)  # whatever the broker was told last

    def _note_read_to(self, partition: TopicPartition, offset: int) -> None:
        self._read_to[partition] = offset

    def _to_tell(self, partition: TopicPartition) -> Committed:
        seen = self._seen[partition]
        offset = max(seen.next_offset, self._read_to[partition])
        return Committed(SettledOffsets(offset), seen.topic_id)

    async def _handle(self, records: Records, tasks: TaskGroup) -> None:
        placed = {tp: several for tp, several in records.items() if tp in self._placed}
        if self._is_stopped or not placed:
            return
        generations = {tp: self._placed[tp] for tp in placed}
        outcome = await self._deliver(self._delivery(placed, attempt=1))
        if outcome.is_done:
            self._moved(placed)
        elif outcome.fate is Fate.SUPERSEDED:
            self._place_again(placed)
        else:
            for partition, several in placed.items():
                # A slow handler may have lost the partition: then whoever has it now goes on.
                if self._membership.assigned.get(partition) == generations[partition]:
                    self._membership.pause(partition)
                    tasks.start_soon(self._one_by_one, partition, generations[partition], several)

    async def _one_by_one(
        self, partition: TopicPartition, generation: int, records: Sequence[ConsumerRecord]
    ) -> None:
        """Handle a paused partition's messages singly, each until it is handled or set aside."""
        try:
            for record in records:
                if not await self._one(partition, generation, record):
                    return
            self._membership.resume(partition)
        finally:
            self._deliverer.forget(message_of(record) for record in records)

    async def _one(
        self, partition: TopicPartition, generation: int, record: ConsumerRecord
    ) -> bool:
        """Return once the message is handled or set aside; False when it is no longer ours."""
        attempt = 2  # the first was in company
        single = {partition: [record]}
        while True:
            with anyio.CancelScope(shield=True):
                async with self._membership.handling:
                    if self._is_stopped or self._membership.assigned.get(partition) != generation:
                        return False
                    outcome = await self._deliver(self._delivery(single, attempt))
                    if outcome.is_done:
                        self._moved(single)
                        return True
            if outcome.fate is Fate.SUPERSEDED:
                self._place_again([partition])
                self._membership.resume(partition)
                return False
            await anyio.sleep(pause_seconds(attempt - 1, self._platform.random))
            attempt += 1

    def _delivery(self, records: Records, attempt: int) -> Delivery:
        messages = [message_of(record) for several in records.values() for record in several]
        steps = {
            tp: Step(self._seen[tp], last_offset(several) + 1) for tp, several in records.items()
        }
        progress = PartitionProgress(self._subscription.group, messages, steps)
        return self._deliverer.delivery(messages, attempt, progress)

    def _moved(self, records: Records) -> None:
        for partition, several in records.items():
            topic_id = self._seen[partition].topic_id
            self._seen[partition] = Position(last_offset(several) + 1, topic_id)
            self._to_commit.add(partition)
