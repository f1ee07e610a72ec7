"""A place in a consumer group: joining, fetching, committing, each under a deadline of ours.

The library rebalances in a background task and swallows what its listener raises.  So the
listener here only takes notes and waits, for a bounded time, until nothing is being handled; what
must not fail is done by whoever consumes.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import anyio
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from huleedu.core.errors import BrokerUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.message import Message
from huleedu.transport.kafka.closing import has_stopped
from huleedu.transport.kafka.committed import Committed
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.consumer_times import DEFAULT_TIMES, ConsumerTimes
from huleedu.transport.kafka.placement import Log
from huleedu.transport.kafka.topic_ids import topic_ids

FETCH_WAIT_MS = 200
CALL_SECONDS = 10.0
COMMIT_SECONDS = 5.0
REVOKE_WAIT_SECONDS = 5.0
HEARTBEATS = 3  # in the time after which a silent member is out
METADATA_MAX_AGE_MS = 10_000
PARTITION_FETCH_BYTES = 4 * 2**20
_NO_PARTITION = TopicPartition("", 0)

Records = Mapping[TopicPartition, Sequence[ConsumerRecord]]

_UNKNOWN = (KafkaError, IllegalStateError, TimeoutError, asyncio.CancelledError)
"""How a commit ends of which the outcome is not known, or that is the new owner's to make."""

_logger = create_service_logger("kafka")


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of a group.

    ``handling`` is held while messages are handled, and only then.  ``generation`` of a partition
    counts its assignments: records fetched under an older one are not to be handled.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        group: str,
        topics: Sequence[str],
        instance_id: str | None,
        times: ConsumerTimes = DEFAULT_TIMES,
    ) -> None:
        self._connection = connection
        self._group = group
        self._topics = topics
        self._instance_id = instance_id
        self._session_ms = int(times.session_seconds * 1000)
        self.max_poll_seconds = times.max_poll_seconds
        self._client: AIOKafkaConsumer | None = None
        # Let be to its end whenever that is: the library shields what it does, and where it were
        # cancelled nobody would hear how that ended.
        self._committing: asyncio.Future[None] | None = None
        self._one_commit = anyio.Lock()
        self._fetching_since: float | None = None
        self._fetched_at = 0.0
        self.handling = anyio.Lock()
        self.assigned: dict[TopicPartition, int] = {}
        self._generation = 0
        self.out_of_range: frozenset[TopicPartition] = frozenset()
        self.has_joined = False
        """Whether partitions were given out to it, be it none, since it last joined."""
        self._on_revoked: Callable[[set[TopicPartition]], None] = lambda _revoked: None

    @property
    def client(self) -> AIOKafkaConsumer:
        """The library's consumer; only between ``join`` and ``leave``."""
        assert self._client is not None
        return self._client

    def when_revoked(self, forget: Callable[[set[TopicPartition]], None]) -> None:
        """Have ``forget`` called with the partitions that are taken away."""
        self._on_revoked = forget

    async def join(self) -> None:
        """Join the group.  Raises ``BrokerUnavailable``; then nothing is left open."""
        client = AIOKafkaConsumer(
            group_id=self._group,
            group_instance_id=self._instance_id,
            enable_auto_commit=False,
            # The library must not choose where to read: it would jump over what was deleted.
            auto_offset_reset="none",
            isolation_level="read_committed",
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=self._session_ms // HEARTBEATS,
            rebalance_timeout_ms=max(self._session_ms, int(2_000 * REVOKE_WAIT_SECONDS)),
            max_poll_interval_ms=int(self.max_poll_seconds * 1000),
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            **self._connection.client_options(),
        )
        client.subscribe(list(self._topics), listener=self)
        try:
            with anyio.fail_after(CALL_SECONDS):
                await client.start()
            self._client = client
        except (KafkaError, TimeoutError, OSError) as error:
            raise BrokerUnavailable(f"group {self._group} cannot join: {error!r}") from error
        finally:
            if self._client is not client:  # it failed, or the program stops meanwhile
                await _closed(client)
        self._fetched_at = anyio.current_time()

    async def leave(self) -> None:
        """Leave the group; a broker that does not answer is not waited for."""
        client, self._client = self._client, None
        self._committing = None
        self.has_joined = False
        self.assigned.clear()
        if client is not None:
            await _closed(client)

    async def fetch(self, records_max: int) -> Records:
        """Return what has come, at most so many records; empty after 200 ms without any.

        Records of a partition that was taken away or given anew meanwhile are left out.  Where a
        log does not have what is to be read next, the partition is ``out_of_range`` each time.
        """
        before = dict(self.assigned)
        self.out_of_range = frozenset()
        self._fetching_since = anyio.current_time()
        try:
            records: Records = await self.client.getmany(
                timeout_ms=FETCH_WAIT_MS, max_records=records_max
            )
        except NoOffsetForPartitionError:
            return {}  # it was assigned just now, and is placed next
        except OffsetOutOfRangeError as error:
            self.out_of_range = frozenset(*error.args)
            return {}
        except KafkaError as error:
            raise BrokerUnavailable(f"group {self._group} cannot fetch: {error!r}") from error
        finally:
            self._fetching_since = None
            self._fetched_at = anyio.current_time()
        return {
            partition: several
            for partition, several in records.items()
            if before.get(partition, 0) == self.assigned.get(partition)
        }

    async def keep_polled(self) -> None:
        """Keep the place in the group while nothing is fetched, however long a handler takes.

        The library gives its partitions away when nobody has asked it for records for
        ``max_poll_seconds``, and two members then take the message from one another for ever.
        So it is asked now and then, for those of no partition.  Raises ``BrokerUnavailable``.
        """
        while True:
            await anyio.sleep(self.max_poll_seconds / 4)
            if self._fetching_since is not None:
                continue
            try:
                with anyio.move_on_after(self.max_poll_seconds / 4):
                    await self.client.getmany(_NO_PARTITION, timeout_ms=0)
            except KafkaError as error:
                raise BrokerUnavailable(f"group {self._group} cannot fetch: {error!r}") from error

    def fetching_seconds(self) -> float:
        """Return for how long a fetch has been under way that should return after 200 ms."""
        since = self._fetching_since
        return 0.0 if since is None else anyio.current_time() - since

    def fetched_seconds_ago(self) -> float:
        """Return how long ago the last fetch returned."""
        return anyio.current_time() - self._fetched_at

    async def commit(self, told: Mapping[TopicPartition, Committed]) -> Collection[TopicPartition]:
        """Tell the broker where the group stands; of partitions that are still ours.

        Returns those of which the broker took it.  An unknown outcome is logged and no more.
        """
        ours = {
            tp: (one.handled.start, one.as_text())
            for tp, one in told.items()
            if tp in self.assigned
        }
        if not ours:
            return ours
        error: BaseException | None = TimeoutError()
        async with self._one_commit:
            if await _has_ended(self._committing):  # an earlier one of which nothing was heard
                self._committing = asyncio.ensure_future(self.client.commit(ours))
                self._committing.add_done_callback(_error_of)
                if await _has_ended(self._committing):
                    error = _error_of(self._committing)
        if error is None:
            return ours
        if not isinstance(error, _UNKNOWN):
            raise error
        _logger.warning("commit_unknown", group=self._group, error=repr(error))
        return {}

    async def committed(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, Committed]:
        """Return where the group stands by the broker, where it stands anywhere.

        Raises ``BrokerUnavailable``.
        """
        try:
            with anyio.fail_after(CALL_SECONDS):
                # The library's own call leaves out the text beside the offset.
                told = await self.client._coordinator.fetch_committed_offsets(partitions)
        except (KafkaError, TimeoutError) as error:
            raise BrokerUnavailable(f"the broker does not tell its offsets: {error!r}") from error
        return {tp: Committed.from_text(at.offset, at.metadata) for tp, at in told.items()}

    async def logs(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Log]:
        """Return what the broker has of each.  Raises ``BrokerUnavailable``."""
        # First the ids: where a topic is made anew in between, the next look at them tells.
        ids = await self.topic_ids({tp.topic for tp in partitions})
        try:
            with anyio.fail_after(CALL_SECONDS):
                first = await self.client.beginning_offsets(list(partitions))
                following = await self.client.end_offsets(list(partitions))
        except (KafkaError, TimeoutError) as error:
            raise BrokerUnavailable(f"the broker does not tell its offsets: {error!r}") from error
        return {tp: Log(first[tp], following[tp], ids.get(tp.topic)) for tp in partitions}

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Return the ids of topics, of those that the broker tells.  Raises as ``logs``."""
        try:
            with anyio.fail_after(CALL_SECONDS):
                return await topic_ids(self.client._client, topics)
        except (KafkaError, TimeoutError) as error:
            raise BrokerUnavailable(f"the broker does not tell of topics: {error!r}") from error

    async def positions(self) -> Mapping[TopicPartition, int]:
        """Return the offset that is read next, of every partition that is not paused; -1: none.

        Raises ``BrokerUnavailable``.
        """
        found: dict[TopicPartition, int] = {}
        for partition in sorted(set(self.assigned) - self.client.paused()):
            try:
                position = -1
                with anyio.move_on_after(FETCH_WAIT_MS / 1000):  # where it has none, it is awaited
                    position = await self.client.position(partition)
            except IllegalStateError:
                continue  # it was taken away meanwhile
            except KafkaError as error:
                raise BrokerUnavailable(f"no position in {partition}: {error!r}") from error
            found[partition] = position
        return found

    async def ends(
        self, partitions: Sequence[TopicPartition], seconds: float
    ) -> Mapping[TopicPartition, int]:
        """Return where what may be read ends in each log now; marks of transactions count.

        Without partitions, another one is asked for.  Raises ``BrokerUnavailable`` when the broker
        does not tell within ``seconds``.
        """
        asked = list(partitions) or [TopicPartition(self._topics[0], 0)]
        try:
            with anyio.fail_after(seconds):
                ends: Mapping[TopicPartition, int] = await self.client.end_offsets(asked)
        except (KafkaError, TimeoutError) as error:
            raise BrokerUnavailable(f"the broker does not tell its offsets: {error!r}") from error
        return ends

    def pause(self, *partitions: TopicPartition) -> None:
        """Fetch nothing from these partitions that are still ours."""
        self.client.pause(*(tp for tp in partitions if tp in self.assigned))

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch from these partitions again, where they are still ours."""
        self.client.resume(*(tp for tp in partitions if tp in self.assigned))

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Forget the partitions once nothing is being handled, or after 5 s."""
        taken = set(revoked)
        with anyio.move_on_after(REVOKE_WAIT_SECONDS):
            async with self.handling:
                pass
        for partition in taken:
            self.assigned.pop(partition, None)
        self._on_revoked(taken)
        if taken:
            _logger.info("partitions_revoked", group=self._group, partitions=_names(taken))

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Note the partitions, in order; a new generation of each begins."""
        self._generation += 1
        self.assigned = dict.fromkeys(sorted(assigned), self._generation)
        self.has_joined = True
        _logger.info("partitions_assigned", group=self._group, partitions=_names(assigned))


def message_of(record: ConsumerRecord) -> Message:
    """Return a record as a message; what is null becomes empty, which no event is."""
    headers = {name: (text or b"").decode(errors="replace") for name, text in record.headers}
    return Message(
        record.topic,
        record.key or b"",
        record.value or b"",
        headers,
        partition=record.partition,
        offset=record.offset,
    )


def _names(partitions: Any) -> list[str]:
    return sorted(f"{tp.topic}[{tp.partition}]" for tp in partitions)


async def _has_ended(commit: "asyncio.Future[None] | None") -> bool:
    """Wait for it for a bounded time."""
    if commit is not None:
        await asyncio.wait([commit], timeout=COMMIT_SECONDS)
    return commit is None or commit.done()


def _error_of(ended: "asyncio.Future[None]") -> BaseException | None:
    return asyncio.CancelledError() if ended.cancelled() else ended.exception()


async def _closed(client: AIOKafkaConsumer) -> None:
    """Close it in bounded time."""
    if not await has_stopped(client.stop(), COMMIT_SECONDS):
        await has_stopped(client._client.close(), 1.0)  # its connections, which come last
