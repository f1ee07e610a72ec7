"""Which topic has a name now: the id that the broker gave it when it was created."""

import base64
from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Any, ClassVar

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_METADATA = 3
_UUID_BYTES = 16
_NONE = bytes(_UUID_BYTES)


async def topic_ids(client: AIOKafkaClient, topics: Collection[str]) -> Mapping[str, str]:
    """Return the id of each topic, as ``kafka-topics --describe`` writes it; creates none.

    Left out is what is not there, and everything on a broker before Kafka 2.8 (2021), which has no
    ids.  To be called under a deadline; raises the library's errors.
    """
    try:
        answer = await client.send(client.get_random_node(), _TopicIds(topics))
    except NotImplementedError:  # how the library says that the broker is too old for a request
        return {}
    return {name: _text(raw) for _, name, raw, *_ in answer.topics if raw != _NONE}


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class _Uuid:
    """16 bytes, which the library has no type for."""

    @staticmethod
    def encode(raw: bytes) -> bytes:
        return raw

    @staticmethod
    def decode(data: BytesIO) -> bytes:
        return data.read(_UUID_BYTES)

    @staticmethod
    def repr(raw: bytes) -> str:
        return _text(raw)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]
    """Metadata version 10 (Kafka 2.8, 2021): the first that tells ids."""

    API_KEY = _METADATA
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid),
                ("name", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIds(Request[_MetadataRequest]):  # type: ignore[misc]
    API_KEY: ClassVar[int] = _METADATA

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = sorted(topics)

    def build(self, request_struct_class: type[_MetadataRequest]) -> Any:
        asked: list[tuple[bytes, str, dict[int, bytes]]] = [
            (_NONE, name, {}) for name in self._topics
        ]
        return request_struct_class(asked, False, False, False, {})
