"""How far an outbox is published, as the broker remembers it: a group offset, told by transactions.

The offset is the id of the last row published; its metadata tell of which file the row is.  Both
are kept on one partition that always exists; the partition's own records have nothing to do with
them.
"""

from typing import Any, ClassVar

import anyio
import msgspec
from aiokafka import AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from huleedu.core.enums import ProcessingEvent
from huleedu.core.errors import BrokerUnavailable
from huleedu.core.topics import topic_name
from huleedu.store.outbox_identity import Opening
from huleedu.transport.kafka.coordinator import PAUSE_SECONDS, ask_coordinator
from huleedu.transport.kafka.shared_rows import Position

UNSTABLE_OFFSET_COMMIT = 88
"""The error code for a transaction that has ended and is not shown yet."""
_OFFSET_FETCH = 9
_NO_OFFSET = -1


def transactional_id(outbox_id: str) -> str:
    """Return the transactional id of the one relay of this outbox; its group has the same name."""
    return f"huleedu-outbox-{outbox_id}"


def position_partition() -> TopicPartition:
    """Return the partition on which every outbox keeps its position."""
    return TopicPartition(topic_name(ProcessingEvent.BATCH_ESSAYS_REGISTERED), 0)


def position_offsets(position: Position) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return what a transaction commits to say that rows up to ``position`` are published."""
    openings = position.openings
    metadata = "" if openings is None else msgspec.json.encode(openings).decode()
    return {position_partition(): OffsetAndMetadata(position.row_id, metadata)}


async def read_position(producer: AIOKafkaProducer, group: str) -> Position | None:
    """Return how far the outbox is published, or None when the broker remembers nothing.

    To be asked through a producer that has started: only then is the transaction of its
    predecessor ended.  Waits while a transaction that has ended is not shown yet: to be called
    under a deadline.  Raises ``BrokerUnavailable`` or an error of the library when the broker does
    not say: that is not the same as none.
    """
    # The library's own calls will not do: they cannot ask for stable offsets (KIP-447), so that on
    # some brokers a transaction just ended may not be seen, and its administration client takes a
    # coordinator that is still loading for one that knows nothing.
    partition = position_partition()
    request = _StableOffsetFetch(group, partition)
    while True:
        answer = await ask_coordinator(producer.client, CoordinationType.GROUP, group, request)
        _raise_for(answer.error_code, group)
        offset, metadata, error_code = _found(answer, partition, group)
        if error_code != UNSTABLE_OFFSET_COMMIT:
            _raise_for(error_code, group)
            return None if offset == _NO_OFFSET else Position(offset, _openings(metadata))
        await anyio.sleep(PAUSE_SECONDS)


def _found(answer: Any, partition: TopicPartition, group: str) -> tuple[int, str | None, int]:
    for topic, partitions, _ in answer.topics:
        for number, offset, _, metadata, error_code, _ in partitions:
            if (topic, number) == partition:
                return offset, metadata, error_code
    raise BrokerUnavailable(f"the broker did not tell the position of {group}")


def _openings(metadata: str | None) -> tuple[Opening, ...] | None:
    """Return the openings that a position names: none that we know where they cannot be read."""
    if not metadata:
        return None
    try:
        return msgspec.json.decode(metadata, type=tuple[Opening, ...])
    except msgspec.MsgspecError:
        return ()


def _raise_for(error_code: int, group: str) -> None:
    if error_code:
        raise BrokerUnavailable(
            f"the broker does not tell the position of {group} now: {for_code(error_code).__name__}"
        )


class _OffsetFetchResponse(Response):  # type: ignore[misc]
    API_KEY = _OFFSET_FETCH
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _OffsetFetchRequest(RequestStruct):  # type: ignore[misc]
    """OffsetFetch version 7 (Kafka 2.5, 2020): the first that can ask for stable offsets."""

    API_KEY = _OFFSET_FETCH
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _OffsetFetchResponse
    SCHEMA = Schema(
        ("group", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("partitions", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _StableOffsetFetch(Request[_OffsetFetchRequest]):  # type: ignore[misc]
    API_KEY: ClassVar[int] = _OFFSET_FETCH

    def __init__(self, group: str, partition: TopicPartition) -> None:
        self._group = group
        self._partition = partition

    def build(self, request_struct_class: type[_OffsetFetchRequest]) -> _OffsetFetchRequest:
        topic, number = self._partition
        return request_struct_class(self._group, [(topic, [number], {})], True, {})
