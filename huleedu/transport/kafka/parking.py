"""The parked messages of the partitions that this process holds, and their next attempts.

Only the oldest message of each key is tried; the others follow it in order.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import anyio
import msgspec
from aiokafka import TopicPartition

from huleedu.core.errors import StoreUnavailable
from huleedu.core.message import Message
from huleedu.core.metrics import TRANSPORT_PARKED
from huleedu.core.platform import Platform
from huleedu.store import parked
from huleedu.store.database import Database
from huleedu.store.parked import Parked
from huleedu.store.positions import Superseded
from huleedu.transport.delivering import Deliverer, Fate, Outcome
from huleedu.transport.failures import pause_seconds
from huleedu.transport.kafka.partition_progress import ParkedProgress, ParkingProgress

PARKED_MAX = 10_000
"""Messages of one group that may be parked here; then the partition of the next one waits."""
RETRIES_AT_ONCE = 4
"""Parked messages of one group that are tried at the same time, never two of one key."""


@dataclass
class Queue:
    """The parked messages of one partition and key."""

    partition: TopicPartition
    key: bytes
    not_before: float
    rows: deque[Parked] = field(default_factory=deque)
    failed: Message | None = None
    """What stands among the troubles for it."""
    is_under_way: bool = False
    is_gone: bool = False
    """Whether the partition was taken away, or what is parked in it was read anew."""


class Parking:
    """What is parked for one group, by partition and key; the messages themselves stay on disk."""

    def __init__(
        self, database: Database, deliverer: Deliverer, group: str, platform: Platform
    ) -> None:
        self._database = database
        self._deliverer = deliverer
        self._group = group
        self._platform = platform
        self._queues: dict[tuple[TopicPartition, bytes], Queue] = {}
        self._count = 0
        self._changed = anyio.Event()

    def load(self, partition: TopicPartition, rows: Sequence[Parked]) -> None:
        """Begin anew with what is parked in a partition by the store."""
        self.forget([partition])
        self.add(rows)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget what is parked in partitions: whoever holds them next reads it from the store."""
        gone = set(partitions)
        for place, queue in list(self._queues.items()):
            if queue.partition in gone:
                queue.is_gone = True
                self._drop(place, queue)
        self._tell()

    def holds(self, partition: TopicPartition, key: bytes) -> bool:
        """Return whether a message of this key is parked."""
        return (partition, key) in self._queues

    def behind(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return those whose key has a message that is parked, in order."""
        if not self._queues:
            return ()
        return [one for one in messages if self.holds(_partition(one), one.key)]

    def has_room(self, count: int) -> bool:
        """Return whether so many more may be parked."""
        return self._count + count <= PARKED_MAX

    def full_told(self, partition: TopicPartition) -> str:
        """Return, as a sentence, that a partition waits."""
        return (
            f"{self._group} reads nothing from {partition.topic}[{partition.partition}]: "
            f"{self._count:,} messages wait to be tried again, as many as may"
        )

    async def write(self, progress: ParkingProgress) -> Outcome:
        """Park messages that nothing is delivered beside."""
        try:
            await self._database.write(progress.advance)
        except Superseded as fault:
            return Outcome(Fate.SUPERSEDED, fault)
        except StoreUnavailable as fault:
            return Outcome(Fate.AGAIN, fault)
        return Outcome(Fate.HANDLED)

    def add(self, rows: Sequence[Parked], failed: Message | None = None) -> None:
        """Note rows that are in the store, behind those of their keys."""
        now = anyio.current_time()
        for row in rows:
            place = TopicPartition(row.topic, row.partition), row.key
            queue = self._queues.get(place)
            if queue is None:
                queue = Queue(*place, now + self._pause(row.attempts), failed=failed)
                self._queues[place] = queue
            queue.rows.append(row)
        self._count += len(rows)
        self._tell()

    async def next_due(self) -> Queue:
        """Return the queue that is to be tried next, once it is time."""
        while True:
            idle = [queue for queue in self._queues.values() if not queue.is_under_way]
            first = min(idle, key=lambda queue: queue.not_before, default=None)
            if first is not None and first.not_before <= anyio.current_time():
                first.is_under_way = True
                return first
            with anyio.move_on_at(float("inf") if first is None else first.not_before):
                await self._changed.wait()

    async def deliver(self, queue: Queue) -> Outcome | None:
        """Have the oldest message of a queue handled; None when it could not be read."""
        try:
            return await self._deliver(queue)
        except StoreUnavailable:
            pause = self._pause(max(1, queue.rows[0].attempts))
            queue.not_before = anyio.current_time() + pause
            return None
        finally:
            queue.is_under_way = False
            self._tell()

    async def _deliver(self, queue: Queue) -> Outcome | None:
        row = queue.rows[0]
        message = await self._database.read(lambda db: parked.message_of(db, row))
        if message is None:
            await self._read_anew(queue)
            return None
        progress = ParkedProgress(self._group, row, message)
        outcome = await self._deliverer.deliver(
            self._deliverer.delivery([message], row.attempts + 1, progress)
        )
        if queue.is_gone:
            self._deliverer.forget([message])
        elif outcome.is_done:
            self._done(queue)
        elif outcome.fate is Fate.SUPERSEDED:
            await self._read_anew(queue)
        else:
            await self._again(queue, row, message)
        return outcome

    def _done(self, queue: Queue) -> None:
        queue.rows.popleft()
        self._count -= 1
        queue.failed = None
        queue.not_before = anyio.current_time()
        if not queue.rows:
            self._drop((queue.partition, queue.key), queue)

    async def _again(self, queue: Queue, row: Parked, message: Message) -> None:
        tried = msgspec.structs.replace(row, attempts=row.attempts + 1)
        queue.rows[0] = tried
        queue.failed = message
        queue.not_before = anyio.current_time() + self._pause(tried.attempts)
        # Where that is not noted the attempt does not count after a restart.
        await self._database.write(lambda db: parked.failed(db, row))

    async def _read_anew(self, queue: Queue) -> None:
        """Another process handled a message: see what is left."""
        rows = await self._database.read(
            lambda db: parked.waiting(db, self._group, *queue.partition)
        )
        if not queue.is_gone:
            self.load(queue.partition, rows)

    def _drop(self, place: tuple[TopicPartition, bytes], queue: Queue) -> None:
        self._queues.pop(place, None)
        self._count -= len(queue.rows)
        if queue.failed is not None:
            self._deliverer.forget([queue.failed])

    def _pause(self, attempts: int) -> float:
        if attempts == 0:
            return 0.0
        # The first two, one of them in company, count as one: it was not known who is at fault.
        return pause_seconds(max(1, attempts - 1), self._platform.random)

    def _tell(self) -> None:
        TRANSPORT_PARKED.labels(self._group).set(self._count)
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


def _partition(message: Message) -> TopicPartition:
    return TopicPartition(message.topic, message.partition)
