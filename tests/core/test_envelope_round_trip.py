"""Whatever can be said arrives as it was said."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.enums import ProcessingEvent
from huleedu.core.envelope import decode, encode
from huleedu.core.errors import MalformedMessage
from huleedu.core.schemas import event_schemas
from huleedu.core.topics import TOPICS, topic_name
from tests.support.events import envelopes
from tests.support.json_schema import faults
from tests.support.samples import sample

SCHEMAS = event_schemas()


@pytest.mark.parametrize("event", list(TOPICS))
@settings(max_examples=25)
@given(data=st.data())
def test_an_event_arrives_as_it_was_said(event: ProcessingEvent, data: st.DataObject) -> None:
    """Any event, encoded and decoded, is the same event, and its schema accepts the wire form."""
    said = data.draw(envelopes(event))
    wire = encode(said)

    assert decode(topic_name(event), wire) == said
    assert faults(SCHEMAS[event.value], json.loads(wire)) == []


@settings(max_examples=300)
@given(st.sampled_from(list(TOPICS)), st.data())
def test_damaged_bytes_are_read_or_refused(event: ProcessingEvent, data: st.DataObject) -> None:
    """A byte cut, changed or added anywhere gives an event or MalformedMessage, nothing else."""
    wire = bytearray(encode(sample(event)))
    place = data.draw(st.integers(0, len(wire) - 1))
    wire[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))

    try:
        envelope = decode(topic_name(event), bytes(wire))
    except MalformedMessage:
        return

    assert decode(topic_name(event), encode(envelope)) == envelope
