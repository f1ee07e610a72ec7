"""A message as a Kafka record: headers as bytes, and never larger than a broker takes."""

from collections.abc import Mapping
from datetime import datetime

from huleedu.core.errors import TooLarge
from huleedu.core.message import Header, Message
from huleedu.core.topics import DEAD_LETTER_SUFFIX
from huleedu.transport.failures import dead_letter, dead_letter_cause

RECORD_BYTES_MAX = 1_000_000
"""Key, value and headers of one record: the contract's 900 KB and room for headers, below the
1,048,588 bytes that Kafka takes by default (``message.max.bytes``)."""
CUT_HEADER = "dead-letter-cut-from-bytes"

_RECORD_OVERHEAD_BYTES = 128  # batch header and lengths, rounded up
_HEADER_OVERHEAD_BYTES = 10
_CUT_KEY_BYTES = 10_000
_CUT_HEADERS_BYTES = 40_000
_DEAD_LETTER_PREFIX = "dead-letter-"


def header_pairs(message: Message) -> list[tuple[str, bytes]]:
    """Return the headers as Kafka has them; the library refuses a name that is a ``Header``."""
    return [(str(name), value.encode()) for name, value in message.headers.items()]


def record_bytes(message: Message) -> int:
    """Return how many bytes the record takes at most."""
    headers = sum(_header_bytes(name, value) for name, value in message.headers.items())
    return _RECORD_OVERHEAD_BYTES + len(message.key) + len(message.value) + headers


def check_size(message: Message) -> None:
    """Raise ``TooLarge`` for a message that cannot be sent."""
    size = record_bytes(message)
    if size > RECORD_BYTES_MAX:
        raise TooLarge(
            f"message {message.event_id} for {message.topic} has {size:,} bytes; "
            f"{RECORD_BYTES_MAX:,} can be sent"
        )


def is_dead_letter(message: Message) -> bool:
    """Tell whether the message is on its way to a dead-letter topic."""
    return message.topic.endswith(DEAD_LETTER_SUFFIX)


def fitted(message: Message, sender: str, now: datetime) -> Message:
    """Return the message, or what is sent in its place when it is larger than a record may be.

    In its place goes a dead letter, cut to size, that tells so; of a dead letter, itself cut to
    size.  Otherwise one such message would hold up all that follow for ever.
    """
    try:
        check_size(message)
    except TooLarge as fault:
        if is_dead_letter(message):
            return cut(message)
        cause = dead_letter_cause(fault, message, sender, 1, now)
        return cut(dead_letter(message, cause))
    return message


def cut(message: Message) -> Message:
    """Return a dead letter whose value, key and headers are cut so that it fits.

    The headers that tell its cause and its event go before all others.
    """
    headers = _cut_headers(
        {**message.headers, Header.EVENT_ID: message.event_id, CUT_HEADER: str(len(message.value))}
    )
    emptied = Message(message.topic, message.key[:_CUT_KEY_BYTES], b"", headers)
    room = RECORD_BYTES_MAX - record_bytes(emptied)
    return Message(message.topic, emptied.key, message.value[:room], headers)


def _cut_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    room = _CUT_HEADERS_BYTES
    kept: dict[str, str] = {}
    for name in sorted(headers, key=_rank):
        size = _header_bytes(name, headers[name])
        if size <= room:
            kept[name] = headers[name]
            room -= size
    return kept


def _rank(name: str) -> int:
    if name == CUT_HEADER:
        return 0
    if name.startswith(_DEAD_LETTER_PREFIX):
        return 1
    return 2 if name in set(Header) else 3


def _header_bytes(name: str, value: str) -> int:
    return _HEADER_OVERHEAD_BYTES + len(name.encode()) + len(value.encode())
