"""Any event, as another program may write it."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.enums import ProcessingEvent
from huleedu.core.envelope import decode, encode
from huleedu.core.topics import TOPICS, topic_name
from tests.support.events import envelopes

MAPS = ("error_info", "references")  # a further key there is a further entry, not an unknown field
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@pytest.mark.parametrize("event", list(TOPICS))
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_an_event_of_a_foreign_sender_is_understood(
    event: ProcessingEvent, data: st.DataObject
) -> None:
    """Fields that we do not know, in any order, spacing and escapes, change nothing of an event;
    neither does another offset of the same moment."""
    said = data.draw(envelopes(event))
    spoken = json.loads(encode(said))
    offset = timezone(timedelta(minutes=data.draw(st.integers(-600, 600))))
    moment = said.event_timestamp
    if (
        datetime(1, 1, 3, tzinfo=moment.tzinfo)
        < moment
        < datetime(9999, 12, 29, tzinfo=moment.tzinfo)
    ):
        spoken["event_timestamp"] = moment.astimezone(offset).isoformat()

    def grown(part: Any) -> Any:
        if isinstance(part, list):
            return [grown(one) for one in part]
        if not isinstance(part, dict):
            return part
        fields = [(key, part[key] if key in MAPS else grown(part[key])) for key in part]
        fields += [
            (f"zz_{key}", data.draw(anything))
            for key in data.draw(st.sets(st.sampled_from("abc"), max_size=2))
        ]
        return dict(data.draw(st.permutations(fields)))

    wire = json.dumps(
        grown(spoken),
        indent=data.draw(st.none() | st.integers(0, 2)),
        ensure_ascii=data.draw(st.booleans()),
    ).encode()

    assert decode(topic_name(event), wire) == said
    assert encode(decode(topic_name(event), wire)) == encode(said)
