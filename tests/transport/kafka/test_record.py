"""What of a message goes to the broker when it is larger than a record may be."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.errors import TooLarge
from huleedu.core.message import Header, Message
from huleedu.transport.kafka.record import (
    CUT_HEADER,
    RECORD_BYTES_MAX,
    check_size,
    cut,
    fitted,
    header_pairs,
    record_bytes,
)

NOW = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
SIZES = st.sampled_from([0, 1, 9_000, 11_000, 100_000, 899_999, 1_000_000, 3_000_000])


def test_headers_are_utf8() -> None:
    """Swedish letters in a header arrive as UTF-8."""
    assert header_pairs(Message("t", b"k", b"v", {"ägare": "Åsa"})) == [("ägare", "Åsa".encode())]


def test_header_names_are_plain_text() -> None:
    """What was never in a store still has the enumeration's members, which aiokafka refuses."""
    ((name, _),) = header_pairs(Message("t", b"k", b"v", {Header.ATTEMPT: "1"}))

    assert (type(name), name) == (str, "attempt")


def test_what_fits_goes_as_it_is() -> None:
    """The contract's largest event, with its headers, is not touched."""
    message = Message("t", b"k" * 36, b"x" * 900_000, {"event-id": "e", "owner": "o" * 200})

    check_size(message)
    assert fitted(message, "relay", NOW) is message


def test_what_does_not_fit_is_refused() -> None:
    """The refusal names the message and both sizes."""
    with pytest.raises(TooLarge, match=r"message e for t has 1,000,1\d\d bytes; 1,000,000 can"):
        check_size(Message("t", b"", b"x" * 1_000_000, {"event-id": "e"}))


def test_an_event_that_cannot_be_sent_becomes_a_dead_letter() -> None:
    """It goes to its topic's dead letters, cut, with the cause and its own size."""
    headers = {"event-id": "e", "owner": "o" * 200_000}
    sent = fitted(Message("t", b"k", b"x" * 900_000, headers), "relay", NOW)

    assert (sent.topic, sent.key, sent.event_id) == ("t.dlq", b"k", "e")
    assert sent.headers["dead-letter-error-class"] == "TooLarge"
    assert sent.headers["dead-letter-group"] == "relay"
    assert sent.headers[CUT_HEADER] == "900000"
    assert "owner" not in sent.headers
    assert sent.value == b"x" * 900_000


def test_a_dead_letter_stays_a_dead_letter() -> None:
    """One that is too large is cut where it is; it does not become the dead letter of its own."""
    dead = Message("t.dlq", b"k", b"x" * 1_048_000, {"dead-letter-error-class": "TooLarge"})
    sent = fitted(dead, "relay", NOW)

    assert sent.topic == "t.dlq"
    assert sent.headers["dead-letter-error-class"] == "TooLarge"
    assert sent.headers[CUT_HEADER] == "1048000"
    assert len(sent.value) > 990_000
    assert sent.event_id == dead.event_id


@given(
    topic=st.sampled_from(["t", "t.dlq"]),
    key=SIZES,
    value=SIZES,
    headers=st.dictionaries(st.text(max_size=9), SIZES, max_size=3),
)
def test_whatever_waits_can_be_sent(
    topic: str, key: int, value: int, headers: dict[str, int]
) -> None:
    """No row is larger than a record may be once it is fitted, whatever it was; what fits stays."""
    texts = {name: "å" * (size // 2) for name, size in headers.items()}
    message = Message(topic, b"k" * key, b"x" * value, {"event-id": "e"} | texts)
    sent = fitted(message, "relay", NOW)

    assert record_bytes(sent) <= RECORD_BYTES_MAX
    assert sent.event_id == "e"
    assert message.value.startswith(sent.value)
    assert (sent is message) == (record_bytes(message) <= RECORD_BYTES_MAX)


def test_the_cause_goes_before_other_headers() -> None:
    """Of many headers, those that tell the cause are kept."""
    headers = {f"x{number}": "y" * 1_000 for number in range(200)}
    sent = cut(Message("t.dlq", b"k", b"v", headers | {"dead-letter-attempts": "3"}))

    assert sent.headers["dead-letter-attempts"] == "3"
    assert record_bytes(sent) < 50_000
