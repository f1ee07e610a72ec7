"""The broker's side of one outbox: slices of rows, each one transaction with the position reached.

A transaction shows its rows and moves the position, or does neither.  Whatever fails, or takes too
long for us to know, ends the producer; only a new one may go on, from the position that it reads.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import anyio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest, AddPartitionsToTxnRequest

from huleedu.core.errors import BrokerUnavailable
from huleedu.core.message import Message
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.deadlines import within
from huleedu.transport.kafka.hidden_records import hidden_from
from huleedu.transport.kafka.position import (
    position_offsets,
    position_partition,
    read_position,
    transactional_id,
)
from huleedu.transport.kafka.producing import START_SECONDS, closed, send_all, started
from huleedu.transport.kafka.shared_rows import Position
from huleedu.transport.kafka.steps import At, Step
from huleedu.transport.kafka.undecided import carry_out, recorded_ending

CALL_SECONDS = 5.0
ABORT_SECONDS = 2.0
TRANSACTION_TIMEOUT_MS = 10_000
"""An open transaction holds up every read_committed reader, at most for so long."""
_BEGINNING = (AddPartitionsToTxnRequest, AddOffsetsToTxnRequest)
"""Requests by which a transaction gets more participants."""


async def last_ending(connection: KafkaConnection, outbox_id: str) -> bool | None:
    """Return whether the last transaction of this outbox commits; None: the broker has no record.

    To be asked before a new producer is opened, and noted, for that wipes the record.  Raises
    ``BrokerUnavailable``.
    """
    with within(START_SECONDS, "asking how the last transaction ended"):
        return await recorded_ending(connection, transactional_id(outbox_id))


class OutboxTransactions:
    """One producer under the transactional id of one outbox; made by :meth:`opened`."""

    def __init__(self, producer: AIOKafkaProducer, name: str, call_seconds: float) -> None:
        self._producer = producer
        self._name = name
        self._call_seconds = call_seconds
        self._is_open = False
        self._is_unanswered = False
        self._connections: set[Any] = set()
        self._sending: anyio.CancelScope | None = None
        self._watch(producer)

    @classmethod
    async def opened(
        cls,
        connection: KafkaConnection,
        outbox_id: str,
        call_seconds: float = CALL_SECONDS,
        transaction_timeout_ms: int = TRANSACTION_TIMEOUT_MS,
    ) -> Self:
        """Fence off every older producer of this outbox, end its transaction, and return.

        Raises ``BrokerUnavailable``.
        """
        name = transactional_id(outbox_id)
        producer = await started(
            connection, transactional_id=name, transaction_timeout_ms=transaction_timeout_ms
        )
        return cls(producer, name, call_seconds)

    @property
    def is_doubtful(self) -> bool:
        """Whether a request got no answer, or the coordinator may have been another meanwhile.

        The library repeats such a request without telling.  The first may still be under way, and
        end the *next* transaction of this producer half-way (as Jepsen found, Bufstream 0.1.0,
        2024).  And where a broker came back, the end of the last transaction may not have been
        carried out (``undecided``): the next one must not decide it.  So there must be none; a new
        producer has a new epoch, and settles first.
        """
        return self._is_unanswered or not all(one.connected() for one in self._connections)

    async def decide(self, topics: Collection[str], commits: bool) -> None:
        """End what the predecessors of this producer left undecided in these topics, in that way.

        To be called before anything else: what is published meanwhile would be decided with it.
        Raises ``Fenced`` or ``BrokerUnavailable``.
        """
        with within(self._call_seconds, "ending the last transaction"):
            await carry_out(self._producer, self._name, topics, commits)

    async def hidden_from(self, topics: Collection[str]) -> Mapping[TopicPartition, int]:
        """Return the partitions whose last records no reader is shown, and from which offset on.

        Raises ``BrokerUnavailable``.
        """
        with within(self._call_seconds, "asking what readers are shown"):
            return await hidden_from(self._producer, topics)

    async def position(self) -> Position | None:
        """Return how far the outbox is published, None when nothing is.

        Raises ``BrokerUnavailable``.
        """
        await self._await_topics([position_partition().topic])
        with within(self._call_seconds, "reading the position"):
            return await read_position(self._producer, self._name)

    async def publish(self, messages: Sequence[Message], position: Position, at: At) -> None:
        """Make these messages and the position visible, all at once, in this order.

        Raises ``Fenced``, or ``BrokerUnavailable``: it may have happened, or may happen yet, until
        a newer producer is open.
        """
        await self._await_topics(sorted({message.topic for message in messages}))
        if self.is_doubtful:
            raise BrokerUnavailable("beginning a transaction: an earlier request got no answer")
        with within(self._call_seconds, "beginning a transaction"):
            await self._producer.begin_transaction()
        self._is_open = True
        await at(Step.BEGUN)
        with self._certain():
            with within(self._call_seconds, "sending"):
                await send_all(self._producer, messages, partial(at, Step.ROW_SENT))
            await at(Step.ROWS_ACKNOWLEDGED)
            with within(self._call_seconds, "sending the position"):
                await self._producer.send_offsets_to_transaction(
                    position_offsets(position), self._name
                )
        await at(Step.POSITION_SENT)
        with within(self._call_seconds, "committing"):
            await self._producer.commit_transaction()
        self._is_open = False
        await at(Step.COMMITTED)

    async def abort(self) -> None:
        """End an open transaction, for readers wait for it; where that fails, its timeout will."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            with within(ABORT_SECONDS, "aborting"):
                await self._producer.abort_transaction()
        except BrokerUnavailable:
            self._is_unanswered = True

    async def close(self) -> None:
        """Close the producer in bounded time; what it has not sent is for the next one."""
        await closed(self._producer, flushing=False)

    async def _await_topics(self, topics: Sequence[str]) -> None:
        # Before a transaction is begun: while it waited for a topic, all readers would wait for it.
        for topic in topics:
            with within(self._call_seconds, f"waiting for the topic {topic}"):
                await self._producer.partitions_for(topic)

    @contextmanager
    def _certain(self) -> Iterator[None]:
        """Give up what is awaited inside at the first doubt.  Raises ``BrokerUnavailable``."""
        with anyio.CancelScope() as scope:
            self._sending = scope
            try:
                yield
            finally:
                self._sending = None
        if scope.cancelled_caught:
            raise BrokerUnavailable("sending: a request got no answer")

    def _watch(self, producer: AIOKafkaProducer) -> None:
        """Notice requests that got no answer, and which connections lead to coordinators."""
        client = producer.client
        request: Callable[..., Awaitable[Any]] = client.send

        async def watched(node: int, asked: Any, **options: Any) -> Any:
            try:
                if isinstance(asked, _BEGINNING) and self.is_doubtful:
                    raise KafkaConnectionError("nothing is begun once there is doubt")
                return await request(node, asked, **options)
            except KafkaError:
                self._is_unanswered = True
                if self._sending is not None:
                    self._sending.cancel()
                raise
            finally:
                self._connections |= {
                    connection
                    for (_, group), connection in client._conns.items()
                    if group == ConnectionGroup.COORDINATION
                }

        client.send = watched
