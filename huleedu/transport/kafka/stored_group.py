"""Consuming into a store: the positions are kept there, beside the effects."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import anyio
from aiokafka import ConsumerRecord, TopicPartition
from anyio.abc import TaskGroup

from huleedu.core.errors import Unavailable
from huleedu.core.platform import Platform
from huleedu.store import positions
from huleedu.store.database import Database
from huleedu.store.positions import Superseded
from huleedu.transport.breaker import Tally
from huleedu.transport.failures import pause_seconds
from huleedu.transport.kafka.group import Group, last_offset
from huleedu.transport.kafka.membership import Membership, Records, message_of
from huleedu.transport.kafka.partition_progress import PartitionProgress, Step
from huleedu.transport.protocol import Delivery, Subscription


class StoredGroup(Group):
    """One fetch, one transaction; after a failure message by message, partition by partition.

    While one fetch is written the next is read, no more than that.  What is read ahead counts for
    nothing until it is written: where a partition is placed anew, it is dropped and read again.
    """

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
        self._seen: dict[TopicPartition, int | None] = {}
        self._readings: dict[TopicPartition, int] = {}  # anew whenever a partition is placed
        self._readings_begun = 0
        self._ahead: dict[TopicPartition, _Ahead] = {}

    async def _consume(self, tasks: TaskGroup) -> None:
        self._ahead = {}
        while True:
            await self._place()
            in_hand, self._ahead = self._ahead, {}
            async with anyio.create_task_group() as both:
                both.start_soon(self._read_ahead)
                if in_hand:
                    # What is being handled when the program stops is finished.
                    with anyio.CancelScope(shield=True):
                        async with self._membership.handling:
                            await self._handle(self._still_valid(in_hand), tasks)
                await self._commit_now_and_then()

    async def _read_ahead(self) -> None:
        readings = dict(self._readings)
        records = await self._membership.fetch(self._subscription.batch_max)
        self._ahead = {
            partition: _Ahead(readings[partition], several)
            for partition, several in records.items()
            if partition in readings
        }

    def _still_valid(self, ahead: Mapping[TopicPartition, "_Ahead"]) -> Records:
        """Leave out what was read before its partition was taken away, failed or placed anew."""
        return {
            partition: one.records
            for partition, one in ahead.items()
            if partition in self._placed and self._readings.get(partition) == one.reading
        }

    def _is_busy(self) -> bool:
        return self._membership.handling.locked()

    def _is_in_hand(self, partition: TopicPartition) -> bool:
        return partition in self._ahead  # while they are handled nobody asks

    async def _positions(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        group = self._subscription.group

        def query(connection: sqlite3.Connection) -> Mapping[TopicPartition, int | None]:
            return {
                tp: positions.read(connection, group, tp.topic, tp.partition) for tp in partitions
            }

        return await self._database.read(query)

    def _note_placed(self, partition: TopicPartition, position: int | None) -> None:
        self._seen[partition] = position
        self._readings_begun += 1
        self._readings[partition] = self._readings_begun
        if position is not None:
            self._to_commit[partition] = position  # whatever the broker was told last

    async def _handle(self, records: Records, tasks: TaskGroup) -> None:
        if self._is_stopped or not records:
            return
        generations = {tp: self._placed[tp] for tp in records}
        delivery = self._delivery(records, attempt=1)
        try:
            await self._deliver(delivery)
        except Superseded as fault:
            self._report(delivery, fault)
            self._count(delivery, "superseded")
            self._place_again(records)
        except Exception as fault:  # noqa: BLE001 - the delivery loop: every fault has a verdict
            self._report(delivery, fault)
            self._count(delivery, "again_later")
            for partition, several in records.items():
                self._readings.pop(partition, None)  # what follows must wait for these
                # A slow handler may have lost the partition: then whoever has it now goes on.
                if self._membership.assigned.get(partition) == generations[partition]:
                    self._membership.pause(partition)
                    tasks.start_soon(self._one_by_one, partition, generations[partition], several)
        else:
            self._moved(records)

    async def _one_by_one(
        self, partition: TopicPartition, generation: int, records: Sequence[ConsumerRecord]
    ) -> None:
        """Handle a paused partition's messages singly, each until it is handled or set aside."""
        try:
            for record in records:
                if not await self._one(partition, generation, record):
                    return
        except Superseded:
            pass  # go on from where the other one stands
        finally:
            self._troubles.pop(_retrying(partition), None)
        # What was read ahead was dropped; it comes again from where the store stands.
        self._place_again([partition])
        self._membership.resume(partition)

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
                    fault = await self._deliver_one(self._delivery(single, attempt))
                    if fault is None:
                        self._moved(single)
            if fault is None:
                return True
            self._note_trouble(partition, fault)
            await anyio.sleep(pause_seconds(attempt - 1, self._platform.random))
            attempt += 1

    def _note_trouble(self, partition: TopicPartition, fault: Exception) -> None:
        if isinstance(fault, Unavailable):
            where = f"{partition.topic}[{partition.partition}]"
            self._troubles[_retrying(partition)] = f"{self._subscription.group} on {where}: {fault}"

    def _delivery(self, records: Records, attempt: int) -> Delivery:
        messages = [message_of(record) for several in records.values() for record in several]
        steps = {
            tp: Step(self._seen.get(tp), last_offset(several) + 1)
            for tp, several in records.items()
        }
        progress = PartitionProgress(self._subscription.group, messages, steps)
        tally = Tally(self._breaker)
        return Delivery(self._subscription.group, messages, attempt, progress, tally)

    def _moved(self, records: Records) -> None:
        for partition, several in records.items():
            next_offset = last_offset(several) + 1
            self._seen[partition] = next_offset
            self._to_commit[partition] = next_offset


class _Ahead(NamedTuple):
    """Records that were read and not handled yet, and in which reading of their partition."""

    reading: int
    records: Sequence[ConsumerRecord]


def _retrying(partition: TopicPartition) -> str:
    return f"retrying {partition.topic}[{partition.partition}]"
