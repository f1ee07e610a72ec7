"""What a broker decided about an outbox's last transaction, carried out where it was not.

A partition shows a transaction's records once it has the marker that ends it.  A coordinator that
comes back takes a partition without a leader for one that was deleted, and counts its marker as
written (seen with Kafka 4.3.1: a lone broker that was killed, or paused for longer than its
session, has no leader for a moment).  Readers of that partition then wait for ever, or until the
marker of a later transaction decides these records along with its own.  So that they are decided
rightly, the first transaction of every new producer has no records, takes part in every partition
that the outbox may have written to, and ends as the coordinator had recorded.
"""

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any, ClassVar

import anyio
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    IncompatibleBrokerVersion,
    NoError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
)
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.coordinator import PAUSE_SECONDS, ask_coordinator
from huleedu.transport.kafka.partitions import numbers_by_topic, partitions_by_leader

REQUEST_TIMEOUT_MS = 5_000
_NOT_YET = (
    ConcurrentTransactions,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)
_COMMITS = ("PrepareCommit", "CompleteCommit")
_NO_RECORD = ("Empty", "Dead")
_UNKNOWN_ID = 105


async def recorded_ending(connection: KafkaConnection, name: str) -> bool | None:
    """Return whether the last transaction under this transactional id is one that commits.

    False as well when it is still open: the start of a new producer aborts it.  None when there is
    no record: there was no transaction since a producer last started, for that wipes the record, or
    the broker cannot tell (before Kafka 3.0).  To be called under a deadline; raises the library's
    errors.
    """
    async with _asking(connection) as client:
        try:
            answer = await _answer(client, name, _DescribeTransactions(name))
        except IncompatibleBrokerVersion:
            return None
    for code, _, state, *_ in answer.transaction_states:
        if code != _UNKNOWN_ID and state not in _NO_RECORD:
            return state in _COMMITS
    return None


async def carry_out(
    producer: AIOKafkaProducer, name: str, topics: Collection[str], commits: bool
) -> None:
    """End whatever is undecided in these topics, and the position, by a transaction of its own.

    ``producer`` has just started under the transactional id ``name``, which is its group's name
    too; topics that are gone are left out.  To be called under a deadline; raises
    ``BrokerUnavailable`` when a partition has no leader now, and the library's errors.
    """
    client = producer.client
    # Not while one has no leader: its marker would be lost once more.
    by_leader = await partitions_by_leader(client, topics)
    numbers = numbers_by_topic(chain.from_iterable(by_leader.values()))
    identity = (name, producer._txn_manager.producer_id, producer._txn_manager.producer_epoch)
    if numbers:
        request = AddPartitionsToTxnRequest(*identity, list(numbers.items()))
        await _answer(client, name, request)
    await _answer(client, name, AddOffsetsToTxnRequest(*identity, name))
    await _answer(client, name, EndTxnRequest(*identity, commits))


@asynccontextmanager
async def _asking(connection: KafkaConnection) -> AsyncGenerator[AIOKafkaClient]:
    client = AIOKafkaClient(**connection.client_options(), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.bootstrap()
        yield client
    finally:
        with anyio.CancelScope(shield=True):
            await client.close()


async def _answer(client: AIOKafkaClient, name: str, request: Request[Any]) -> Any:
    """Ask the coordinator of a transactional id until it is ready to answer."""
    while True:
        try:
            answer = await ask_coordinator(client, CoordinationType.TRANSACTION, name, request)
            for code in _error_codes(answer):
                if (error := for_code(code)) is not NoError:
                    raise error()
        except _NOT_YET:
            await anyio.sleep(PAUSE_SECONDS)
        else:
            return answer


def _error_codes(answer: Any) -> list[int]:
    if isinstance(answer, _DescribeTransactionsResponse):
        codes = [state[0] for state in answer.transaction_states]
        return [code for code in codes if code != _UNKNOWN_ID]
    if hasattr(answer, "errors"):
        return [code for _, partitions in answer.errors for _, code in partitions]
    return [answer.error_code]


class _DescribeTransactionsResponse(Response):  # type: ignore[misc]
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transaction_states",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", CompactString("utf-8")),
                ("state", CompactString("utf-8")),
                ("timeout_ms", Int32),
                ("start_time_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                (
                    "topics",
                    CompactArray(
                        ("topic", CompactString("utf-8")),
                        ("partitions", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeTransactionsRequest(RequestStruct):  # type: ignore[misc]
    """DescribeTransactions version 0 (Kafka 3.0, 2021)."""

    API_KEY = 65
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _DescribeTransactionsResponse
    SCHEMA = Schema(
        ("transactional_ids", CompactArray(CompactString("utf-8"))),
        ("tags", TaggedFields),
    )


class _DescribeTransactions(Request[_DescribeTransactionsRequest]):  # type: ignore[misc]
    API_KEY: ClassVar[int] = 65

    def __init__(self, name: str) -> None:
        self._name = name

    def build(
        self, request_struct_class: type[_DescribeTransactionsRequest]
    ) -> _DescribeTransactionsRequest:
        return request_struct_class([self._name], {})
