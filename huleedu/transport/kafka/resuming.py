"""Where a group that does not run is to go on: looking at its positions, and moving them."""

import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, Self

import anyio
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import NoError, UnknownMemberIdError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest

from huleedu.core.clock import Clock
from huleedu.core.errors import BrokerUnavailable, Conflict, NotFound
from huleedu.store import positions
from huleedu.store.database import Database
from huleedu.store.positions import Position
from huleedu.transport.kafka.administration import (
    CALL_SECONDS,
    REQUEST_TIMEOUT_MS,
    administration,
    group_offsets,
    partition_counts,
)
from huleedu.transport.kafka.committed import Committed
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.coordinator import ask_coordinator
from huleedu.transport.kafka.deadlines import within
from huleedu.transport.kafka.settled_offsets import SettledOffsets
from huleedu.transport.kafka.settlements import logs
from huleedu.transport.kafka.topic_ids import topic_ids

Target = Literal["start", "now"] | int
"""Where to go on: at what the log has, behind it, or at an offset."""
_CLOSE_SECONDS = 2.0


class Resumption(msgspec.Struct, frozen=True):
    """What becomes of one partition of a group."""

    partition: int
    stood_at: int | None
    """None: the group has never read it, or it read another topic of this name."""
    log_begins: int
    log_ends: int
    goes_on_at: int
    topic_id: str | None
    seen: Position | None
    """What is noted now."""

    @property
    def deleted(self) -> int:
        """How many offsets were deleted before the group read them."""
        return max(0, self.log_begins - (self.stood_at or 0))

    @property
    def skipped(self) -> int:
        """How many offsets that the log has are never read."""
        return max(0, self.goes_on_at - max(self.stood_at or 0, self.log_begins))

    @property
    def read_again(self) -> int:
        """How many offsets that were read are read once more."""
        return 0 if self.stood_at is None else max(0, self.stood_at - self.goes_on_at)

    @property
    def to(self) -> Position:
        """What is to be noted."""
        return Position(self.goes_on_at, self.topic_id)


def resumption(
    partition: int, seen: Position | None, log: range, topic_id: str | None, target: Target
) -> Resumption:
    """Return what becomes of a partition.  Raises ``Conflict`` for an offset that its log lacks."""
    if isinstance(target, int) and not log.start <= target <= log.stop:
        raise Conflict(
            f"partition {partition} has offsets {log.start} to {log.stop}; {target} is not there"
        )
    at = {"start": log.start, "now": log.stop}[target] if isinstance(target, str) else target
    is_another = seen is not None and None not in (seen.topic_id, topic_id)
    is_another = is_another and seen is not None and seen.topic_id != topic_id
    stood_at = None if seen is None or is_another else seen.next_offset
    return Resumption(partition, stood_at, log.start, log.stop, at, topic_id, seen)


class Resuming:
    """One group in one topic; made by :meth:`opened`."""

    def __init__(
        self,
        admin: AIOKafkaAdminClient,
        consumer: AIOKafkaConsumer,
        client: AIOKafkaClient,
        clock: Clock,
        group: str,
        topic: str,
        store: Database | None,
    ) -> None:
        self._admin = admin
        self._consumer = consumer
        self._client = client
        self._clock = clock
        self._group = group
        self._topic = topic
        self._store = store

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        connection: KafkaConnection,
        clock: Clock,
        group: str,
        topic: str,
        store: Database | None,
    ) -> AsyncGenerator[Self]:
        """Be ready until the block is left; ``store`` is the group's, None: it has none.

        Raises ``BrokerUnavailable``.
        """
        options = connection.client_options()
        consumer = AIOKafkaConsumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            **options,
        )
        client = AIOKafkaClient(request_timeout_ms=REQUEST_TIMEOUT_MS, **options)
        async with administration(connection) as admin:
            try:
                with within(CALL_SECONDS, "connecting"):
                    await consumer.start()
                    await client.bootstrap()
                yield cls(admin, consumer, client, clock, group, topic, store)
            finally:
                with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                    await client.close()
                    await consumer.stop()

    async def plan(self, partition: int | None, target: Target) -> Sequence[Resumption]:
        """Return what would become of a partition (None: of each).

        Raises ``Conflict`` while the group runs and for an offset that a log lacks, ``NotFound``
        without the topic or the partition, ``BrokerUnavailable`` and ``StoreUnavailable``.
        """
        await self._refuse_while_it_runs()
        count = (await partition_counts(self._admin)).get(self._topic, 0)
        numbers = range(count) if partition is None else [partition]
        if not count or numbers[-1] >= count:
            what = f"no partition {partition} in" if count else "no topic"
            raise NotFound(f"there is {what} {self._topic} on the broker")
        partitions = [TopicPartition(self._topic, number) for number in numbers]
        with within(CALL_SECONDS, "asking for the id of the topic"):
            ids = await topic_ids(self._client, [self._topic])
        limits = await logs(self._consumer, partitions)
        seen = await self._seen(partitions)
        topic_id = ids.get(self._topic)
        return [
            resumption(tp.partition, seen[tp], limits[tp], topic_id, target) for tp in partitions
        ]

    async def carry_out(self, plan: Sequence[Resumption]) -> None:
        """Have the group go on there.

        Raises ``Superseded`` when it has moved since the plan was made, ``Conflict`` while the
        group runs, ``BrokerUnavailable`` and ``StoreUnavailable``.
        """
        await self._refuse_while_it_runs()
        store, group, topic = self._store, self._group, self._topic
        if store is None:
            await self._commit({one.partition: one.to for one in plan})
            return

        def work(connection: sqlite3.Connection) -> None:
            for one in plan:
                positions.move(connection, group, topic, one.partition, seen=one.seen, to=one.to)

        await store.write(work)

    async def _seen(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, Position | None]:
        if self._store is not None:
            return await self._store.read(
                lambda db: {tp: positions.read(db, self._group, *tp) for tp in partitions}
            )
        told = await group_offsets(self._admin, self._group, partitions, self._clock)
        return {
            tp: Committed.from_text(told[tp].offset, told[tp].metadata).position
            if tp in told
            else None
            for tp in partitions
        }

    async def _refuse_while_it_runs(self) -> None:
        with within(CALL_SECONDS, f"asking for the members of group {self._group}"):
            (answer,) = await self._admin.describe_consumer_groups([self._group])
        members = [member for one in answer.groups for member in one[5]]
        if members:
            hosts = ", ".join(sorted({member[-3].lstrip("/") for member in members}))
            raise _runs(self._group, f"{len(members)} of its members are on {hosts}")

    async def _commit(self, to: Mapping[int, Position]) -> None:
        told = [
            (number, at.next_offset, Committed(SettledOffsets(at.next_offset), at.topic_id))
            for number, at in to.items()
        ]
        asked = [(number, offset, one.as_text()) for number, offset, one in told]
        # As whoever is in no group: the broker refuses it where the group has members.
        request = OffsetCommitRequest(self._group, -1, "", -1, [(self._topic, asked)])
        with within(CALL_SECONDS, f"moving group {self._group}"):
            answer = await ask_coordinator(
                self._client, CoordinationType.GROUP, self._group, request
            )
        for _, partitions in answer.topics:
            for _, code in partitions:
                if for_code(code) is UnknownMemberIdError:
                    raise _runs(self._group, "a member has joined")
                if for_code(code) is not NoError:
                    raise BrokerUnavailable(f"moving group {self._group}: {for_code(code)}")


def _runs(group: str, how: str) -> Conflict:
    return Conflict(
        f"{group} runs: {how}. Stop its processes first; one that was killed counts as running "
        "until its session is over (kafka.session_timeout_seconds)"
    )
