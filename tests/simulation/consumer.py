"""A consumer of the simulated broker, in the place of the client library's."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anyio
from aiokafka import OffsetAndMetadata, TopicPartition
from aiokafka.errors import (
    IllegalGenerationError,
    KafkaConnectionError,
    NoOffsetForPartitionError,
)

from tests.simulation.broker import SESSION_SECONDS, Group, Record
from tests.simulation.faults import Fault

if TYPE_CHECKING:
    from tests.simulation.connection import Endpoint


async def topic_ids(client: "Endpoint", topics: Collection[str]) -> Mapping[str, str]:
    """In the place of the transport's question to a real broker: no topic is made anew here."""
    await client.round_trip()
    return dict.fromkeys(topics, "simulated")


class SimulatedConsumer:
    """As much of ``AIOKafkaConsumer`` as the transport uses, put in its place."""

    def __init__(self, *, simulated: "Endpoint", group_id: str, **_options: Any) -> None:
        self._endpoint = simulated
        self._group_id = group_id
        self.topics: Sequence[str] = ()
        self.number = simulated.broker.number()
        self.is_kicked = False
        self._listener: Any = None
        self._assigned: set[TopicPartition] = set()
        self._given: tuple[set[TopicPartition], int] | None = None
        self._generation = 0
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._is_reading = False
        self._must_rejoin = False
        self._nudged = asyncio.Event()
        self._arrived = asyncio.Event()
        self._coordinating: asyncio.Task[None] | None = None
        self._coordinator = self  # two of the library's parts that the transport asks by themselves
        self._client = simulated

    def subscribe(self, topics: Sequence[str], listener: Any) -> None:
        self.topics = topics
        self._listener = listener

    async def start(self) -> None:
        await self._endpoint.round_trip()
        self._endpoint.consumers.append(self)
        self._coordinating = asyncio.get_running_loop().create_task(self._coordinate())
        self._group.join(self)

    async def stop(self) -> None:
        if self._coordinating is not None:
            self._coordinating.cancel()
        if self in self._endpoint.consumers:
            self._endpoint.consumers.remove(self)
            self._group.leave(self.number)
        await self._endpoint.round_trip()

    def vanish(self) -> None:
        """Say nothing any more; the broker notices when the session is over."""
        self._endpoint.broker.later(SESSION_SECONDS, self.expire)

    def expire(self) -> None:
        """Be taken for dead by the broker."""
        self.is_kicked = True
        self._group.leave(self.number)
        self.must_rejoin()

    # What the group's coordinator asks of a member.

    def must_rejoin(self) -> None:
        self._must_rejoin = True
        self._nudged.set()

    def be_given(self, partitions: set[TopicPartition], generation: int) -> None:
        self._given = (partitions, generation)
        self._nudged.set()

    def wake(self) -> None:
        self._arrived.set()

    async def _coordinate(self) -> None:
        while True:
            await self._nudged.wait()
            self._nudged.clear()
            if self._must_rejoin:
                self._must_rejoin = False
                await self._give_up()
            elif self._given is not None:
                await self._take()

    async def _give_up(self) -> None:
        self._given = None
        self._is_reading = False
        generation = self._group.generation
        await self._listener.on_partitions_revoked(frozenset(self._assigned))
        self._assigned = set()
        self._positions.clear()
        if self.is_kicked:
            self.is_kicked = False
            await self._endpoint.round_trip()
            self._group.join(self)
        elif generation == self._group.generation:
            self._group.has_given_up(self.number)
        # Else they are given out anew already, and it has been told so.

    async def _take(self) -> None:
        assert self._given is not None
        (self._assigned, self._generation), self._given = self._given, None
        self._paused.clear()
        offsets = self._group.offsets
        self._positions = {tp: offsets[tp] for tp in self._assigned if tp in offsets}
        await self._listener.on_partitions_assigned(frozenset(self._assigned))
        self._is_reading = True
        self._arrived.set()

    # What the transport asks.

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int = 500
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        await anyio.lowlevel.checkpoint()
        if partitions:
            return {}
        if self._endpoint.faults.strikes(Fault.FETCH_FAILED):
            self._endpoint.tell(f"fetch of {self._group_id} fails")
            raise KafkaConnectionError("simulated: the connection is lost")
        found = self._read(max_records)
        if not found:
            self._arrived.clear()
            with anyio.move_on_after(timeout_ms / 1000):
                await self._arrived.wait()
            found = self._read(max_records)
        return found

    def _read(self, most: int) -> dict[TopicPartition, list[Record]]:
        found: dict[TopicPartition, list[Record]] = {}
        if not self._is_reading:
            return found
        wanted = sorted(self._assigned - self._paused)
        self._endpoint.random.shuffle(wanted)
        if any(partition not in self._positions for partition in wanted):
            raise NoOffsetForPartitionError
        for partition in wanted:
            records, following = self._endpoint.broker.visible(
                partition, self._positions[partition], most
            )
            self._positions[partition] = following
            most -= len(records)
            if records:
                found[partition] = records
            if most <= 0:
                break
        return found

    async def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        await self._endpoint.round_trip()
        if self._endpoint.faults.strikes(Fault.OFFSET_NOT_COMMITTED):
            raise KafkaConnectionError("simulated: the commit is lost")
        if self.is_kicked or self._generation != self._group.generation:
            raise IllegalGenerationError("simulated: the partitions are given out anew")
        for partition, (offset, text) in offsets.items():
            self._group.offsets[partition] = offset
            self._group.beside[partition] = text

    async def fetch_committed_offsets(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, OffsetAndMetadata]:
        await self._endpoint.round_trip()
        offsets, beside = self._group.offsets, self._group.beside
        return {
            tp: OffsetAndMetadata(offsets[tp], beside.get(tp, ""))
            for tp in partitions
            if tp in offsets
        }

    async def beginning_offsets(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        await self._endpoint.round_trip()
        return dict.fromkeys(partitions, 0)

    async def end_offsets(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        await self._endpoint.round_trip()
        return {tp: self._endpoint.broker.stable_end(tp) for tp in partitions}

    async def position(self, partition: TopicPartition) -> int:
        return self._positions.get(partition, -1)

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused -= set(partitions)
        self._arrived.set()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition in self._assigned:
            self._positions[partition] = offset

    @property
    def _group(self) -> Group:
        return self._endpoint.broker.groups[self._group_id]
