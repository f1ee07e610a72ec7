"""Consuming into a store: the positions are kept there, beside the effects.

A message that must come again is parked in the store, with those that follow it under its key:
the position goes on past them, and nothing else waits for them.
"""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence

import anyio
from aiokafka import ConsumerRecord, TopicPartition
from anyio.abc import TaskGroup

from huleedu.core.errors import TooManyDeadLetters
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store import parked, positions
from huleedu.store.database import Database
from huleedu.store.parked import Parked
from huleedu.store.positions import Position, Superseded
from huleedu.transport.delivering import Fate, Outcome
from huleedu.transport.failures import pause_seconds
from huleedu.transport.kafka.committed import Committed
from huleedu.transport.kafka.group import Group, last_offset
from huleedu.transport.kafka.membership import Membership, Records, message_of
from huleedu.transport.kafka.parking import RETRIES_AT_ONCE, Parking
from huleedu.transport.kafka.partition_progress import ParkingProgress, PartitionProgress, Step
from huleedu.transport.kafka.settled_offsets import SettledOffsets
from huleedu.transport.protocol import Subscription


class StoredGroup(Group):
    """One fetch, one transaction; after a failure message by message, partition by partition.

    Where the store cannot be written nothing can be parked either: then the partition waits.
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
        self._seen: dict[TopicPartition, Position] = {}
        self._read_to: dict[TopicPartition, int] = {}
        self._parking = Parking(database, self._deliverer, subscription.group, platform)
        self._found_parked: Mapping[TopicPartition, Sequence[Parked]] = {}

    async def _consume(self, tasks: TaskGroup) -> None:
        for _ in range(RETRIES_AT_ONCE):
            tasks.start_soon(self._retry)
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
            # In one snapshot: whoever parks a message moves the position.
            self._found_parked = {tp: parked.waiting(connection, group, *tp) for tp in partitions}
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
        self._parking.load(partition, self._found_parked.get(partition, ()))
        self._to_commit.add(partition)  # whatever the broker was told last

    def _note_read_to(self, partition: TopicPartition, offset: int) -> None:
        self._read_to[partition] = offset

    def _to_tell(self, partition: TopicPartition) -> Committed:
        seen = self._seen[partition]
        offset = max(seen.next_offset, self._read_to[partition])
        return Committed(SettledOffsets(offset), seen.topic_id)

    def _forget(self, revoked: Iterable[TopicPartition]) -> None:
        super()._forget(revoked)
        self._parking.forget(revoked)

    async def _leave(self) -> None:
        await super()._leave()
        self._parking.forget(list(self._seen))

    async def _retry(self) -> None:
        """Try what is parked again, one after another; ends with the group."""
        while True:
            due = await self._parking.next_due()
            with anyio.CancelScope(shield=True):
                outcome = await self._parking.deliver(due)
            if outcome is not None and outcome.fate is Fate.STOP:
                raise TooManyDeadLetters(self._deliverer.stopped)

    async def _handle(self, records: Records, tasks: TaskGroup) -> None:
        placed = {tp: several for tp, several in records.items() if tp in self._placed}
        if self._is_stopped or not placed:
            return
        generations = {tp: self._placed[tp] for tp in placed}
        outcome = await self._deliver_or_park(placed, attempt=1)
        if outcome.is_done:
            return
        if outcome.fate is Fate.SUPERSEDED:
            self._place_again(placed)
            return
        for partition, several in placed.items():
            # A slow handler may have lost the partition: then whoever has it now goes on.
            if self._membership.assigned.get(partition) == generations[partition]:
                self._membership.pause(partition)
                tasks.start_soon(self._one_by_one, partition, generations[partition], several)

    async def _one_by_one(
        self, partition: TopicPartition, generation: int, records: Sequence[ConsumerRecord]
    ) -> None:
        """Handle a paused partition's messages singly, each until it is out of the way."""
        try:
            for record in records:
                if not await self._one(partition, generation, record):
                    return
            self._membership.resume(partition)
        finally:
            self._troubles.pop(_full(partition), None)
            self._deliverer.forget(
                one
                for one in map(message_of, records)
                if not self._parking.holds(partition, one.key)
            )

    async def _one(
        self, partition: TopicPartition, generation: int, record: ConsumerRecord
    ) -> bool:
        """Return once the message is handled, set aside or parked; False: it is no longer ours."""
        attempt = 2  # the first was in company
        single = {partition: [record]}
        while True:
            with anyio.CancelScope(shield=True):
                async with self._membership.handling:
                    if self._is_stopped or self._membership.assigned.get(partition) != generation:
                        return False
                    outcome = await self._deliver_or_park(single, attempt)
                    if outcome.fate is Fate.AGAIN:
                        outcome = await self._park(single, attempt, outcome)
            if outcome.is_done:
                return True
            if outcome.fate is Fate.SUPERSEDED:
                self._place_again([partition])
                self._membership.resume(partition)
                return False
            await anyio.sleep(pause_seconds(attempt - 1, self._platform.random))
            attempt += 1

    async def _deliver_or_park(self, records: Records, attempt: int) -> Outcome:
        """Have messages handled, and those parked whose key has one that is parked."""
        messages = [message_of(record) for several in records.values() for record in several]
        behind = self._parking.behind(messages)
        if behind:
            return await self._deliver_some(records, messages, behind, attempt)
        before = self._generations(records)
        progress = PartitionProgress(self._subscription.group, messages, self._steps(records))
        outcome = await self._deliver(self._deliverer.delivery(messages, attempt, progress))
        if outcome.is_done:
            self._moved(records, before)
        return outcome

    async def _deliver_some(
        self,
        records: Records,
        messages: Sequence[Message],
        behind: Sequence[Message],
        attempt: int,
    ) -> Outcome:
        if not self._parking.has_room(len(behind)):
            return Outcome(Fate.AGAIN)
        before = self._generations(records)
        passed_over = {(one.topic, one.partition, one.offset) for one in behind}
        direct = [m for m in messages if (m.topic, m.partition, m.offset) not in passed_over]
        parking = self._parking_progress(records, direct, behind, attempts=0)
        if direct:
            outcome = await self._deliver(self._deliverer.delivery(direct, attempt, parking))
        else:
            outcome = await self._parking.write(parking)
        if outcome.is_done:
            self._moved(records, before, parking.parked)
        return outcome

    async def _park(self, records: Records, attempts: int, failed: Outcome) -> Outcome:
        """Park a single message that is to come again, so that others go on.

        Without room, or while the store cannot be written, it waits where it is.
        """
        ((partition, (record,)),) = records.items()
        message = message_of(record)
        if not self._parking.has_room(1):
            self._troubles[_full(partition)] = self._parking.full_told(partition)
            return failed
        before = self._generations(records)
        parking = self._parking_progress(records, [], [message], attempts)
        outcome = await self._parking.write(parking)
        if outcome.is_done:
            self._moved(records, before, parking.parked, message)
        return outcome

    def _parking_progress(
        self,
        records: Records,
        direct: Sequence[Message],
        passed_over: Sequence[Message],
        attempts: int,
    ) -> ParkingProgress:
        group, now = self._subscription.group, self._platform.clock.now()
        return ParkingProgress(group, direct, self._steps(records), passed_over, attempts, now)

    def _generations(self, records: Records) -> Mapping[TopicPartition, int]:
        return {tp: self._placed[tp] for tp in records if tp in self._placed}

    def _steps(self, records: Records) -> Mapping[TopicPartition, Step]:
        return {
            tp: Step(self._seen[tp], last_offset(several) + 1) for tp, several in records.items()
        }

    def _moved(
        self,
        records: Records,
        before: Mapping[TopicPartition, int],
        rows: Sequence[Parked] = (),
        failed: Message | None = None,
    ) -> None:
        """Note where the group stands now, and what was parked, where it still is ours."""
        ours = [tp for tp in records if tp in before and self._placed.get(tp) == before[tp]]
        for partition in ours:
            next_offset = last_offset(records[partition]) + 1
            self._seen[partition] = Position(next_offset, self._seen[partition].topic_id)
            self._to_commit.add(partition)
        if rows:
            self._parking.add([r for r in rows if (r.topic, r.partition) in ours], failed)


def _full(partition: TopicPartition) -> str:
    return f"parked {partition.topic}[{partition.partition}]"
