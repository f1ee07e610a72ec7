"""The JSON Schema of every event, for those who speak to us from elsewhere."""

from inspect import cleandoc
from typing import Any

import msgspec

from huleedu.core.enums import ProcessingEvent
from huleedu.core.envelope import SCHEMA_VERSION, EventEnvelope
from huleedu.core.topics import TOPICS, Topic

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TIMES = (
    "ISO 8601 with an offset from UTC. What we write is in UTC and ends in Z; "
    "what we read may have any offset, but must have one."
)
GROWTH = "Fields not named here are ignored by readers, so that senders may grow."


def event_schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each event's envelope, by the event's value."""
    return {event.value: _schema(event, topic) for event, topic in TOPICS.items()}


def _schema(event: ProcessingEvent, topic: Topic) -> dict[str, Any]:
    envelope_type = EventEnvelope[topic.data_type]  # type: ignore[name-defined]
    (reference,), definitions = msgspec.json.schema_components(
        [envelope_type], ref_template="#/$defs/{name}"
    )
    envelope = definitions.pop(_name_in(reference))
    fields = envelope["properties"]
    fields["event_type"] = {"const": topic.name, "description": "The topic it travels on."}
    fields["schema_version"] = {"const": SCHEMA_VERSION, "default": SCHEMA_VERSION}
    data = definitions[_name_in(fields["data"])]
    says = "event" if "event" in data["properties"] else "event_name"
    data["properties"][says] = {"const": event.value, "default": event.value}
    _tidy([envelope, definitions])
    return {
        "$schema": DIALECT,
        "$id": f"urn:huleedu:event:{event.value}:v{SCHEMA_VERSION}",
        **envelope,
        "title": event.value,
        "description": f"{data['description']}\n\n{GROWTH}",
        "$defs": definitions,
    }


def _name_in(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _tidy(part: Any) -> None:
    """Say what a time is, and take the indentation out of descriptions."""
    if isinstance(part, dict):
        if part.get("format") == "date-time":
            part["description"] = TIMES
        elif isinstance(part.get("description"), str):
            part["description"] = cleandoc(part["description"])
        for inner in part.values():
            _tidy(inner)
    elif isinstance(part, list):
        for inner in part:
            _tidy(inner)
