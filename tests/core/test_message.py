"""What a message carries beside its value."""

from uuid import UUID

import pytest

from huleedu.core.enums import ProcessingEvent
from huleedu.core.envelope import decode
from huleedu.core.errors import TooLarge
from huleedu.core.message import Header, Message, event_message
from huleedu.core.messages import BatchCancelled, BatchProceedRequested, EventData
from huleedu.core.topics import TOPICS
from tests.support.samples import AT, BATCH_ID, DATA

ID = UUID("11111111-2222-4333-8444-555555555555")
CORRELATION = UUID("c0ffee00-1234-4abc-8def-000000000042")


def _said(
    event: ProcessingEvent = ProcessingEvent.BATCH_CANCELLED,
    data: EventData | None = None,
    cause: Message | None = None,
    headers: dict[str, str] | None = None,
) -> Message:
    return event_message(
        event,
        data or DATA[event],
        event_id=ID,
        at=AT,
        source_service="batch-service",
        correlation_id=CORRELATION,
        cause=cause,
        headers=headers,
    )


@pytest.mark.parametrize("event", list(TOPICS))
def test_a_message_is_keyed_as_its_topic_demands(event: ProcessingEvent) -> None:
    """All events of a batch share its key; a request for one essay is keyed by the essay."""
    key = "essay-1" if event is ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED else BATCH_ID

    assert (_said(event).topic, _said(event).key) == (TOPICS[event].name, key.encode())


def test_a_message_tells_its_ids_in_headers_and_in_the_envelope() -> None:
    """A reader that looks at headers only finds the same ids as one that decodes."""
    message = _said()
    envelope = decode(message.topic, message.value)

    assert message.headers == {"event-id": str(ID), "correlation-id": str(CORRELATION)}
    assert (envelope.event_id, envelope.correlation_id) == (ID, CORRELATION)
    assert envelope.event_timestamp == AT


def test_what_follows_names_its_cause_and_passes_on_trace_and_owner() -> None:
    """Trace and owner go through the whole story of a batch; the attempt is said anew each time."""
    cause = Message(
        "t",
        b"k",
        b"v",
        {"event-id": "the-cause", "traceparent": "00-1-2-01", "owner": "o7", "attempt": "2"},
    )

    headers = _said(cause=cause, headers={str(Header.ATTEMPT): "3"}).headers

    assert headers == {
        "event-id": str(ID),
        "correlation-id": str(CORRELATION),
        "causation-id": "the-cause",
        "traceparent": "00-1-2-01",
        "owner": "o7",
        "attempt": "3",
    }


def test_a_message_without_an_id_gets_one_from_what_it_says() -> None:
    """The same bytes of a foreign sender are the same event; any difference makes another."""
    foreign = Message("t", b"k", b"v")

    assert foreign.event_id == Message("t", b"k", b"v", {"owner": "x"}).event_id
    assert UUID(foreign.event_id)
    different = [Message("u", b"k", b"v"), Message("t", b"l", b"v"), Message("t", b"k", b"w")]
    assert foreign.event_id not in {message.event_id for message in different}


def test_an_event_over_the_limit_is_refused_before_it_is_said() -> None:
    """An event that no topic would take is the speaker's error, with its size."""
    data = DATA[ProcessingEvent.BATCH_CANCELLED]
    assert isinstance(data, BatchCancelled)
    huge = BatchCancelled(
        batch_id=BATCH_ID, cancellation_time=AT, metadata=data.metadata, reason="x" * 900_000
    )

    with pytest.raises(TooLarge, match=r"900,\d\d\d bytes; 900,000 are allowed"):
        _said(data=huge)


def test_a_message_that_names_no_key_cannot_be_said() -> None:
    """An essay's result without its batch would land where nobody looks for it."""
    data = DATA[ProcessingEvent.BATCH_PROCEED_REQUESTED]
    assert isinstance(data, BatchProceedRequested)
    nameless = BatchProceedRequested(batch_id="", metadata=data.metadata)

    with pytest.raises(ValueError, match=r"batch\.proceed\.requested that names no batch_id"):
        _said(ProcessingEvent.BATCH_PROCEED_REQUESTED, nameless)
