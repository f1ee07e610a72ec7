"""What travels: a key, a value and headers on a topic, whatever carries it."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from huleedu.core.enums import ProcessingEvent
from huleedu.core.envelope import encode, envelope_of
from huleedu.core.messages import EventData
from huleedu.core.topics import TOPICS


class Header(StrEnum):
    """Names of message headers; a foreign sender may leave any of them out."""

    EVENT_ID = "event-id"
    CORRELATION_ID = "correlation-id"
    CAUSATION_ID = "causation-id"
    TRACEPARENT = "traceparent"
    OWNER = "owner"
    ATTEMPT = "attempt"
    READINESS_TIMEOUT_SECONDS = "readiness-timeout-seconds"
    PHASE_TIMEOUT_SECONDS = "phase-timeout-seconds"
    """On a request: after how long without progress its essay is failed."""


class Message(msgspec.Struct, frozen=True):
    """One record of a topic.  Messages of one topic and key keep their order."""

    topic: str
    key: bytes
    value: bytes
    headers: Mapping[str, str] = {}
    partition: int | None = None
    """Where it was read, on a transport that has partitions and offsets."""
    offset: int | None = None

    @property
    def event_id(self) -> str:
        """The event's id; without the header, a digest of the message, so that it is stable."""
        named = self.headers.get(Header.EVENT_ID)
        if named is not None:
            return named
        digest = hashlib.sha256(b"\x00".join((self.topic.encode(), self.key, self.value)))
        return str(UUID(bytes=digest.digest()[:16]))


# Headers that pass from a cause to all that follows from it.
_CARRIED = (Header.TRACEPARENT, Header.OWNER)


def event_message(
    event: ProcessingEvent,
    data: EventData,
    *,
    event_id: UUID,
    at: datetime,
    source_service: str,
    correlation_id: UUID | None,
    cause: Message | None = None,
    headers: Mapping[str, str] | None = None,
) -> Message:
    """Return the message that says ``event``, keyed as its topic demands.

    ``headers`` adds to what every message of ours carries: its own id, the correlation id, the id
    of the message it follows from, and what that one passed on.  Raises ``TooLarge``, and
    ``ValueError`` when the data does not name the key.
    """
    topic = TOPICS[event]
    envelope = envelope_of(
        topic.name,
        data,
        event_id=event_id,
        at=at,
        source_service=source_service,
        correlation_id=correlation_id,
    )
    carried = {str(Header.EVENT_ID): str(event_id)}
    if correlation_id is not None:
        carried[Header.CORRELATION_ID] = str(correlation_id)
    if cause is not None:
        carried[Header.CAUSATION_ID] = cause.event_id
        carried |= {name: cause.headers[name] for name in _CARRIED if name in cause.headers}
    key: str | None = getattr(data, topic.key)
    if not key:
        raise ValueError(f"a {event.value} that names no {topic.key} cannot be said")
    return Message(topic.name, key.encode(), encode(envelope), carried | dict(headers or {}))
