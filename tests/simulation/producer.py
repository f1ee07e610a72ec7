"""A producer of the simulated broker, in the place of the client library's."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import OffsetAndMetadata, TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, ProducerFenced

from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.position import UNSTABLE_OFFSET_COMMIT, position_partition
from tests.simulation.broker import Fate, Transaction
from tests.simulation.faults import Fault

if TYPE_CHECKING:
    from tests.simulation.connection import Endpoint


class SimulatedProducer:
    """As much of ``AIOKafkaProducer`` as the transport uses, put in its place."""

    def __init__(
        self,
        *,
        simulated: "Endpoint",
        transactional_id: str | None = None,
        transaction_timeout_ms: int = 10_000,
        **_options: Any,
    ) -> None:
        self._endpoint = simulated
        self._name = transactional_id
        self._timeout_seconds = transaction_timeout_ms / 1000
        self._epoch = 0
        self._transaction: Transaction | None = None
        self._was_interrupted = False
        self.client = _Client(self)
        self._sender = SimpleNamespace(sender_task=None)
        self._txn_manager = None
        self._message_accumulator = SimpleNamespace(_batches={}, _pending_batches=set())

    async def start(self) -> None:
        await self._endpoint.round_trip()
        if self._name is not None:
            broker = self._endpoint.broker
            broker.epochs[self._name] += 1
            self._epoch = broker.epochs[self._name]
            older = broker.open.pop(self._name, None)
            if older is not None:
                self._record(older, Fate.ABORTED)
            broker.recorded.pop(self._name, None)
            await self._endpoint.round_trip()

    async def stop(self) -> None:
        await self._endpoint.round_trip()

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0}

    async def send(
        self, topic: str, value: bytes, key: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> "asyncio.Future[None]":
        if self._name is not None:
            self._refuse_when_fenced()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        is_lost = self._endpoint.faults.strikes(Fault.UNKNOWN_PUBLISH)
        if not is_lost or self._endpoint.random.random() < 0.5:
            self._endpoint.broker.append(topic, key, value, tuple(headers), self._transaction)
        if is_lost:
            self._endpoint.tell("the answer to a publish is lost")
            answer.set_exception(KafkaTimeoutError("simulated: no answer"))
        else:
            answer.set_result(None)
        await self._endpoint.round_trip()
        return answer

    async def begin_transaction(self) -> None:
        self._refuse_when_fenced()
        assert self._name is not None
        name, broker = self._name, self._endpoint.broker
        transaction = self._transaction = broker.open[name] = Transaction()

        def expire() -> None:
            broker.end(name, transaction, Fate.ABORTED, lambda: True)

        broker.later(self._timeout_seconds, expire)

    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group: str
    ) -> None:
        await self._endpoint.round_trip()
        self._refuse_when_fenced()
        assert self._transaction is not None
        self._transaction.offsets[group] = dict(offsets)

    async def commit_transaction(self) -> None:
        await self._end(Fate.COMMITTED)

    async def abort_transaction(self) -> None:
        await self._end(Fate.ABORTED)

    async def _end(self, fate: Fate) -> None:
        await self._endpoint.round_trip()
        self._refuse_when_fenced()
        assert self._transaction is not None
        assert self._name is not None
        is_lost = self._endpoint.faults.strikes(Fault.UNKNOWN_PUBLISH)
        # A producer that goes on although its broker was away meanwhile soon fares badly.
        is_lost |= self._was_interrupted and self._endpoint.random.random() < 0.5
        if not is_lost or self._endpoint.random.random() < 0.5:
            self._record(self._transaction, fate)
            self._endpoint.broker.open.pop(self._name, None)
        self._transaction = None
        await self._endpoint.round_trip()
        if is_lost:
            self._endpoint.tell("the answer to the end of a transaction is lost")
            raise KafkaTimeoutError("simulated: no answer")

    def _record(self, transaction: Transaction, fate: Fate) -> None:
        """Have the broker end a transaction; it may be down before everybody is told."""
        assert self._name is not None
        is_interrupted = self._endpoint.faults.strikes(Fault.BROKER_RESTART)

        def told() -> bool:
            return not is_interrupted or self._endpoint.random.random() < 0.5

        if is_interrupted:
            self._was_interrupted = True
            self._endpoint.tell(f"the broker comes back amid the end of {self._name}")
            self.client.lose_connection()
        self._endpoint.broker.end(self._name, transaction, fate, told)

    async def carry_out(self, topics: Collection[str], *, commits: bool) -> None:
        """End a transaction without records in which all these topics take part."""
        await self.begin_transaction()
        assert self._transaction is not None
        assert self._name is not None
        self._transaction.partitions |= set(self._endpoint.broker.partitions(topics))
        self._transaction.offsets[self._name] = {}
        await self._end(Fate.COMMITTED if commits else Fate.ABORTED)

    async def offsets_of(self, group: str) -> Any:
        """Return what the broker answers to the question for a position."""
        await self._endpoint.round_trip()
        broker, partition = self._endpoint.broker, position_partition()
        offset = broker.groups[group].offsets.get(partition, -1)
        metadata = broker.groups[group].beside.get(partition, "")
        code = UNSTABLE_OFFSET_COMMIT if broker.is_unstable(group) else 0
        told: tuple[object, ...] = (partition.partition, offset, -1, metadata, code, {})
        return SimpleNamespace(error_code=0, topics=[(partition.topic, [told], {})])

    async def hidden_from(self, topics: Collection[str]) -> Mapping[TopicPartition, int]:
        """Return from where on readers of these topics wait."""
        await self._endpoint.round_trip()
        broker = self._endpoint.broker
        return broker.hidden(broker.partitions(topics))

    def _refuse_when_fenced(self) -> None:
        assert self._name is not None
        newest = self._endpoint.broker.epochs[self._name]
        gone = self._transaction is not None and self._transaction.fate is not Fate.OPEN
        if self._epoch != newest or gone:
            raise ProducerFenced


class _CarryOut(NamedTuple):
    topics: Collection[str]
    commits: bool


class _HiddenFrom(NamedTuple):
    topics: Collection[str]


class _Client:
    """The library's client beneath a producer: what the relay asks by itself."""

    def __init__(self, producer: SimulatedProducer) -> None:
        self._producer = producer
        self._connection = _Connection()
        self.send = self._send  # the transport puts a watch around it

    @property
    def _conns(self) -> Mapping[tuple[int, ConnectionGroup], "_Connection"]:
        return {(0, ConnectionGroup.COORDINATION): self._connection}

    def lose_connection(self) -> None:
        self._connection.is_lost = True
        self._connection = _Connection()

    async def coordinator_lookup(self, _kind: object, _key: str) -> int:
        return 0

    async def _send(self, _node: int, request: object, *, group: object) -> Any:
        connection = self._connection
        answer = await self._answer(request)
        if connection.is_lost:
            raise KafkaConnectionError("simulated: the connection is lost")
        return answer

    async def _answer(self, request: Any) -> Any:
        match request:
            case _CarryOut(topics, commits):
                return await self._producer.carry_out(topics, commits=commits)
            case _HiddenFrom(topics):
                return await self._producer.hidden_from(topics)
            case _:
                return await self._producer.offsets_of(request._group)

    async def close(self) -> None:
        """Nothing is open."""


class _Connection:
    is_lost = False

    def connected(self) -> bool:
        return not self.is_lost


async def recorded_ending(connection: KafkaConnection, name: str) -> bool | None:
    """In the place of the transport's question to a real broker."""
    endpoint: Endpoint = connection.client_options()["simulated"]
    await endpoint.round_trip()
    if name in endpoint.broker.open:
        return False
    fate = endpoint.broker.recorded.get(name)
    return None if fate is None else fate is Fate.COMMITTED


async def carry_out(producer: Any, _name: str, topics: Collection[str], commits: bool) -> None:
    """In the place of the transport's requests to a real broker."""
    await producer.client.send(0, _CarryOut(topics, commits), group=ConnectionGroup.COORDINATION)


async def hidden_from(producer: Any, topics: Collection[str]) -> Any:
    """In the place of the transport's question to a real broker."""
    return await producer.client.send(0, _HiddenFrom(topics), group=ConnectionGroup.DEFAULT)
