"""A producer of the simulated broker, in the place of the client library's."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka import OffsetAndMetadata, TopicPartition
from aiokafka.errors import KafkaTimeoutError, ProducerFenced

from huleedu.transport.kafka.position import position_partition
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
        self.client = _Client(simulated, transactional_id)
        self._sender = SimpleNamespace(sender_task=None)

    async def start(self) -> None:
        await self._endpoint.round_trip()
        if self._name is not None:
            broker = self._endpoint.broker
            broker.epochs[self._name] += 1
            self._epoch = broker.epochs[self._name]
            older = broker.open.pop(self._name, None)
            if older is not None:
                broker.end(older, Fate.ABORTED)
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
        transaction = self._transaction = Transaction()
        broker = self._endpoint.broker
        broker.open[self._name] = transaction
        broker.later(self._timeout_seconds, lambda: broker.end(transaction, Fate.ABORTED))

    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group: str
    ) -> None:
        await self._endpoint.round_trip()
        self._refuse_when_fenced()
        assert self._transaction is not None
        self._transaction.offsets[group] = {tp: one.offset for tp, one in offsets.items()}

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
        if not is_lost or self._endpoint.random.random() < 0.5:
            self._endpoint.broker.end(self._transaction, fate)
            self._endpoint.broker.open.pop(self._name, None)
        self._transaction = None
        await self._endpoint.round_trip()
        if is_lost:
            self._endpoint.tell("the answer to the end of a transaction is lost")
            raise KafkaTimeoutError("simulated: no answer")

    def _refuse_when_fenced(self) -> None:
        assert self._name is not None
        newest = self._endpoint.broker.epochs[self._name]
        gone = self._transaction is not None and self._transaction.fate is not Fate.OPEN
        if self._epoch != newest or gone:
            raise ProducerFenced


class _Client:
    """What the relay asks of the library's client: how far its outbox is published."""

    def __init__(self, endpoint: "Endpoint", name: str | None) -> None:
        self._endpoint = endpoint
        self._name = name
        self.send = self._send  # the transport puts a watch around it

    async def coordinator_lookup(self, _kind: object, _key: str) -> int:
        return 0

    async def _send(self, _node: int, _request: object, *, group: object) -> Any:
        await self._endpoint.round_trip()
        assert self._name is not None
        partition = position_partition()
        offsets = self._endpoint.broker.groups[self._name].offsets
        told: tuple[object, ...] = (partition.partition, offsets.get(partition, -1), -1, "", 0, {})
        return SimpleNamespace(error_code=0, topics=[(partition.topic, [told], {})])

    async def close(self) -> None:
        """Nothing is open."""
