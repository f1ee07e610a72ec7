"""The wire form of every event, decoded in two stages: the envelope, then what its topic names."""

from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from huleedu.core.errors import MalformedMessage, TooLarge
from huleedu.core.messages import EVENT_BYTES_MAX, EventData, Moment, in_utc
from huleedu.core.topics import TOPICS, event_on

SCHEMA_VERSION = 1

DataT = TypeVar("DataT")


class EventEnvelope(msgspec.Struct, Generic[DataT], frozen=True, kw_only=True):
    """What surrounds every event; ``event_type`` is the topic it travels on."""

    event_id: UUID
    event_type: str
    event_timestamp: Moment
    source_service: str
    schema_version: int = SCHEMA_VERSION
    correlation_id: UUID | None = None
    data_schema_uri: str | None = None
    data: DataT


_encoder = msgspec.json.Encoder()
_outer = msgspec.json.Decoder(EventEnvelope[msgspec.Raw])
_inner: dict[str, msgspec.json.Decoder[Any]] = {
    topic.name: msgspec.json.Decoder(topic.data_type) for topic in TOPICS.values()
}
# Both stages in one, which costs a sixth less; only the two tell what is wrong.
_whole: dict[str, msgspec.json.Decoder[EventEnvelope[Any]]] = {
    topic.name: msgspec.json.Decoder(EventEnvelope[topic.data_type])  # type: ignore[name-defined]
    for topic in TOPICS.values()
}


def encode(envelope: EventEnvelope[EventData]) -> bytes:
    """Return the wire form.  Raises ``TooLarge`` past the contract's 900 KB."""
    value = _encoder.encode(envelope)
    if len(value) > EVENT_BYTES_MAX:
        raise TooLarge(
            f"event {envelope.event_id} for {envelope.event_type} has {len(value):,} bytes; "
            f"{EVENT_BYTES_MAX:,} are allowed"
        )
    return value


def decode(topic: str, value: bytes | None) -> EventEnvelope[EventData]:
    """Return the envelope that a topic carried, its data in the type that the topic names.

    Raises ``MalformedMessage`` for anything that is not such an envelope: bytes that are no JSON,
    a missing or mistyped field, a time without offset, another schema version, an event_type that
    differs from the topic, a topic that is not ours.
    """
    whole = _whole.get(topic)
    if whole is None:
        raise MalformedMessage(f"{topic!r} is none of our topics")
    if value is None:
        raise MalformedMessage(f"a message on {topic} has no value")
    if len(value) > EVENT_BYTES_MAX:
        raise MalformedMessage(
            f"a message on {topic} has {len(value):,} bytes; {EVENT_BYTES_MAX:,} are allowed"
        )
    try:
        try:
            envelope = whole.decode(value)
        except (msgspec.MsgspecError, ValueError):
            envelope = _decode_in_stages(topic, value)
        _check(topic, envelope)
        said_at = in_utc(envelope.event_timestamp)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"a message on {topic} cannot be read: {error}") from error
    named = _event_named_in(envelope.data)
    if named != event_on(topic):
        raise MalformedMessage(f"event {envelope.event_id} on {topic} calls itself {named!r}")
    if said_at is not envelope.event_timestamp:
        envelope = replace(envelope, event_timestamp=said_at)
    return envelope


def _decode_in_stages(topic: str, value: bytes) -> EventEnvelope[Any]:
    """Do the same and, where it fails, judge the envelope before what is in it."""
    outer: EventEnvelope[Any] = _outer.decode(value)
    _check(topic, outer)
    in_utc(outer.event_timestamp)
    return replace(outer, data=_inner[topic].decode(outer.data))


def _check(topic: str, outer: EventEnvelope[Any]) -> None:
    if outer.schema_version != SCHEMA_VERSION:
        raise MalformedMessage(
            f"event {outer.event_id} on {topic} has schema version {outer.schema_version}; "
            f"this program reads version {SCHEMA_VERSION}"
        )
    if outer.event_type != topic:
        raise MalformedMessage(
            f"event {outer.event_id} on {topic} says that it is a {outer.event_type!r}"
        )


def _event_named_in(data: EventData) -> str:
    return str(getattr(data, "event", None) or getattr(data, "event_name", None))


def envelope_of(
    topic: str,
    data: EventData,
    *,
    event_id: UUID,
    at: datetime,
    source_service: str,
    correlation_id: UUID | None,
) -> EventEnvelope[EventData]:
    """Return the envelope of an event that is said at this moment.

    Raises ``ValueError`` for a moment without offset.
    """
    return EventEnvelope(
        event_id=event_id,
        event_type=topic,
        event_timestamp=in_utc(at),
        source_service=source_service,
        correlation_id=correlation_id,
        data=data,
    )
