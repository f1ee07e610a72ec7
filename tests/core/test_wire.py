"""The wire form of every event, pinned byte for byte; what was ever said stays readable."""

import json
from pathlib import Path

import msgspec
import pytest

from huleedu.core.enums import ProcessingEvent
from huleedu.core.envelope import decode, encode
from huleedu.core.schemas import event_schemas
from huleedu.core.topics import TOPICS, topic_name
from tests.support.json_schema import faults
from tests.support.samples import AT, sample

WIRE = Path(__file__).parents[1] / "wire"
MINIMAL = WIRE / "minimal"


def _line(folder: Path, event: ProcessingEvent) -> bytes:
    return (folder / f"{event.value}.json").read_bytes().removesuffix(b"\n")


def test_every_event_is_pinned() -> None:
    """There is a golden file of each event, whole and minimal, and no other."""
    expected = {f"{event.value}.json" for event in TOPICS}

    assert {path.name for path in WIRE.glob("*.json")} == expected
    assert {path.name for path in MINIMAL.glob("*.json")} == expected


@pytest.mark.parametrize("event", list(TOPICS))
def test_an_event_is_written_as_pinned(event: ProcessingEvent) -> None:
    """Said today, an event has exactly the bytes that it had when others learned to read it."""
    golden = _line(WIRE, event)

    assert json.loads(encode(sample(event))) == json.loads(golden)  # tells where it differs
    assert encode(sample(event)) == golden


@pytest.mark.parametrize("event", list(TOPICS))
def test_a_pinned_event_is_read_as_it_was_meant(event: ProcessingEvent) -> None:
    """The bytes of an old sample give the event with every field."""
    assert decode(topic_name(event), _line(WIRE, event)) == sample(event)


@pytest.mark.parametrize("event", list(TOPICS))
def test_a_sender_may_leave_out_what_is_optional(event: ProcessingEvent) -> None:
    """A foreign sender's event, fields in another order and times in +02:00, is the same event
    with the optional parts empty."""
    envelope = decode(topic_name(event), _line(MINIMAL, event))

    assert envelope.event_timestamp == AT
    assert envelope.correlation_id is None
    for part in (envelope, envelope.data):
        for field in msgspec.structs.fields(part):
            if not field.required:
                assert getattr(part, field.name) == _default(field), field.name


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default is msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


@pytest.mark.parametrize("folder", [WIRE, MINIMAL], ids=["whole", "minimal"])
@pytest.mark.parametrize("event", list(TOPICS))
def test_pinned_events_satisfy_their_schema(event: ProcessingEvent, folder: Path) -> None:
    """What we publish as the schema of an event accepts every sample of it."""
    schema = event_schemas()[event.value]

    assert faults(schema, json.loads(_line(folder, event))) == []


@pytest.mark.parametrize("event", list(TOPICS))
def test_a_schema_refuses_what_we_refuse(event: ProcessingEvent) -> None:
    """Another topic, version or event, a missing part and a mistyped one are faults."""
    schema = event_schemas()[event.value]
    good = json.loads(_line(WIRE, event))
    says = "event" if "event" in good["data"] else "event_name"
    spoiled = [
        {**good, "event_type": "huleedu.other.v1"},
        {**good, "schema_version": 2},
        {**good, "event_id": "no uuid"},
        {**good, "event_timestamp": 5},
        {**good, "data": {**good["data"], says: "batch.other"}},
        {key: value for key, value in good.items() if key != "data"},
        {**good, "data": {}},
    ]

    assert all(faults(schema, one) for one in spoiled)


def test_schemas_name_dialect_id_and_times() -> None:
    """Every schema says which JSON Schema it is, which event, and what a time looks like."""
    schemas = event_schemas()

    assert schemas.keys() == {event.value for event in TOPICS}
    for value, schema in schemas.items():
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert (schema["$id"], schema["title"]) == (f"urn:huleedu:event:{value}:v1", value)
        assert "offset from UTC" in schema["properties"]["event_timestamp"]["description"]
        json.dumps(schema)
