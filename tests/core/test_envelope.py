"""What of foreign senders is understood, and what is a malformed message."""

import json
from typing import Any
from uuid import UUID

import pytest

from huleedu.core.enums import ProcessingEvent
from huleedu.core.envelope import decode, encode, envelope_of
from huleedu.core.errors import MalformedMessage
from huleedu.core.messages import (
    EVENT_BYTES_MAX,
    BatchReadinessTimeout,
    EssayLifecycleSpellcheckRequestV1,
    SpellcheckResultDataV1,
)
from huleedu.core.topics import TOPICS, topic_name
from tests.support.samples import AT, DATA, sample

TIMEOUT = ProcessingEvent.BATCH_READINESS_TIMEOUT
RESULT = ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED


def _spoken(event: ProcessingEvent) -> dict[str, Any]:
    spoken: dict[str, Any] = json.loads(encode(sample(event)))
    return spoken


def _with(spoken: dict[str, Any], path: str, value: object) -> bytes:
    """Return the wire form with one field, named by a dotted path, set to ``value``."""
    *parents, last = path.split(".")
    part = spoken
    for parent in parents:
        part = part[parent]
    part[last] = value
    return json.dumps(spoken).encode()


@pytest.mark.parametrize("event", list(TOPICS))
def test_unknown_fields_are_ignored(event: ProcessingEvent) -> None:
    """A sender may say more than we know, in the envelope and anywhere in the data."""

    def grown(part: Any) -> Any:
        if isinstance(part, dict):
            inner = {key: grown(value) for key, value in part.items()}
            # These two are maps: a further key is a further entry, not an unknown field.
            maps = ("error_info", "references")
            return {
                "zz_new": [1, {"a": None}],
                **{key: part[key] if key in maps else value for key, value in inner.items()},
            }
        return [grown(one) for one in part] if isinstance(part, list) else part

    wire = json.dumps(grown(_spoken(event))).encode()

    assert decode(topic_name(event), wire) == sample(event)


@pytest.mark.parametrize("event", list(TOPICS))
def test_order_spacing_and_escapes_mean_nothing(event: ProcessingEvent) -> None:
    """The same JSON written by another program is the same event."""
    wire = json.dumps(_spoken(event), sort_keys=True, indent=3, ensure_ascii=True).encode()

    assert decode(topic_name(event), wire) == sample(event)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-12T08:00:00.123456+00:00",
        "2026-01-12T08:00:00.123456-00:00",
        "2026-01-12T13:30:00.123456+05:30",
        "2026-01-11T22:00:00.123456-10:00",
        "2026-01-12T08:00:00.123456z",
    ],
)
def test_any_offset_is_the_same_moment_and_is_said_on_in_utc(text: str) -> None:
    """Times of any offset are understood; passed on, they are in UTC with Z."""
    event = ProcessingEvent.BATCH_ESSAYS_REGISTERED
    spoken = _spoken(event)
    spoken["event_timestamp"] = text
    spoken["data"]["metadata"]["timestamp"] = text

    envelope = decode(topic_name(event), json.dumps(spoken).encode())

    assert envelope == sample(event)
    assert encode(envelope) == encode(sample(event))


@pytest.mark.parametrize("path", ["event_timestamp", "data.metadata.timestamp"])
@pytest.mark.parametrize(
    "value",
    [
        "2026-01-12T08:00:00.123456",  # whose time?
        "0001-01-01T00:00:00+10:00",  # in UTC there is no such year
        "9999-12-31T23:59:59-10:00",
        "2026-02-30T08:00:00Z",
        "yesterday",
        "",
        None,
        1768204800,
    ],
)
def test_what_is_no_moment_is_malformed(path: str, value: object) -> None:
    """A time without offset, out of range, or none at all is refused, not guessed."""
    with pytest.raises(MalformedMessage):
        decode(topic_name(TIMEOUT), _with(_spoken(TIMEOUT), path, value))


def test_uuids_may_be_in_capitals() -> None:
    """A UUID is the same in either case."""
    wire = _with(_spoken(TIMEOUT), "event_id", "5A3F1C52-6F7D-5D0B-8F0E-3A5D8A3B7A11")

    assert decode(topic_name(TIMEOUT), wire).event_id == UUID(
        "5a3f1c52-6f7d-5d0b-8f0e-3a5d8a3b7a11"
    )


def test_null_for_an_optional_field_is_as_if_it_were_missing() -> None:
    """Senders that write every field may write null where there is nothing."""
    missing = _spoken(TIMEOUT)
    del missing["data"]["ready_essays"], missing["correlation_id"]
    null = _spoken(TIMEOUT)
    null["data"]["ready_essays"] = null["correlation_id"] = None
    read = [decode(topic_name(TIMEOUT), json.dumps(one).encode()) for one in (missing, null)]

    assert read[0] == read[1]
    assert isinstance(read[0].data, BatchReadinessTimeout)
    assert read[0].data.ready_essays is None


def test_a_name_that_a_foreign_sender_fills_in_is_read() -> None:
    """We leave it empty; others may not."""
    spoken = _spoken(TIMEOUT)
    spoken["data"]["ready_essays"][0]["student_name"] = "Åsa Öberg"

    data = decode(topic_name(TIMEOUT), json.dumps(spoken).encode()).data

    assert isinstance(data, BatchReadinessTimeout)
    assert data.ready_essays is not None
    assert data.ready_essays[0].student_name == "Åsa Öberg"


def test_whole_seconds_may_come_without_a_fraction() -> None:
    """86400 and 86400.0 are the same number of seconds."""
    wire = _with(_spoken(TIMEOUT), "data.timeout_duration_seconds", 86400)

    assert decode(topic_name(TIMEOUT), wire) == sample(TIMEOUT)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_id", "no uuid"),
        ("event_id", 7),
        ("event_id", None),
        ("source_service", None),
        ("source_service", 7),
        ("schema_version", "1"),
        ("schema_version", 1.0),
        ("schema_version", True),
        ("schema_version", 2),
        ("schema_version", 0),
        ("schema_version", None),
        ("correlation_id", ""),
        ("event_type", "huleedu.batch.cancelled.v1"),
        ("event_type", None),
        ("data", None),
        ("data", []),
        ("data", "{}"),
        ("data.event", "batch.essays.ready"),
        ("data.event", ""),
        ("data.event", None),
        ("data.batch_id", 5),
        ("data.batch_id", None),
        ("data.expected_count", 2.0),
        ("data.expected_count", "2"),
        ("data.expected_count", True),
        ("data.expected_count", -1),
        ("data.expected_count", 2**31),
        ("data.timeout_duration_seconds", "86400"),
        ("data.ready_essay_ids", "essay-1"),
        ("data.ready_essay_ids", [1]),
        ("data.ready_essay_ids", {"essay-1": 1}),
        ("data.metadata", None),
        ("data.metadata.entity.entity_type", "school"),
        ("data.metadata.processing_stage", "half done"),
        ("data.metadata.error_info", []),
    ],
)
def test_a_mistyped_field_is_malformed(path: str, value: object) -> None:
    """Nothing is converted on a guess: text, numbers, truth and nothing are different things."""
    with pytest.raises(MalformedMessage, match=topic_name(TIMEOUT)):
        decode(topic_name(TIMEOUT), _with(_spoken(TIMEOUT), path, value))


@pytest.mark.parametrize(
    ("event", "path"),
    [(event, f) for event in TOPICS for f in ("event_id", "event_type", "event_timestamp", "data")],
)
def test_a_missing_part_is_malformed(event: ProcessingEvent, path: str) -> None:
    """An envelope without one of its necessary parts is refused."""
    spoken = _spoken(event)
    del spoken[path]

    with pytest.raises(MalformedMessage, match=path):
        decode(topic_name(event), json.dumps(spoken).encode())


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("schema_version", 2, "schema version 2"),
        ("event_type", "huleedu.batch.cancelled.v1", "says that it is"),
        ("event_timestamp", "2025-05-30T08:00:00", "event_timestamp"),
    ],
)
def test_the_envelope_is_judged_before_what_is_in_it(path: str, value: object, told: str) -> None:
    """Data of another version cannot be read either; what is wrong is the version."""
    spoken = _spoken(TIMEOUT)
    spoken["data"] = {"of": "another version"}

    with pytest.raises(MalformedMessage, match=told):
        decode(topic_name(TIMEOUT), _with(spoken, path, value))


@pytest.mark.parametrize("event", list(TOPICS))
def test_an_event_on_the_wrong_topic_is_malformed(event: ProcessingEvent) -> None:
    """A consumer goes by the topic: an envelope of another one is refused there."""
    wire = encode(sample(event))
    for other in TOPICS:
        if other is not event:
            with pytest.raises(MalformedMessage):
                decode(topic_name(other), wire)


@pytest.mark.parametrize(
    "wire",
    [
        None,
        b"",
        b" ",
        b"null",
        b"5",
        b"[]",
        b"{}",
        b"{",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"data":' + b"[" * 100_000,
        b'{"data":' * 100_000,
    ],
    ids=lambda wire: repr(wire)[:20],
)
def test_what_is_no_envelope_at_all_is_malformed(wire: bytes | None) -> None:
    """No bytes, broken JSON, endless nesting: refused, and the reader lives."""
    with pytest.raises(MalformedMessage):
        decode(topic_name(TIMEOUT), wire)


@pytest.mark.parametrize(
    "text", [b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\udc00x", b"\x00", b"\\x41"]
)
def test_text_that_is_no_unicode_is_malformed(text: bytes) -> None:
    """Broken UTF-8 and half a surrogate pair, raw or escaped, are refused."""
    wire = encode(sample(TIMEOUT))
    spoiled = wire.replace(b'"essay-2"', b'"' + text + b'"')

    assert spoiled != wire
    with pytest.raises(MalformedMessage):
        decode(topic_name(TIMEOUT), spoiled)


def test_deep_nesting_inside_an_open_field_is_malformed() -> None:
    """error_info may hold anything, but not so deep that reading it exhausts the reader."""
    wire = encode(sample(TIMEOUT)).replace(
        b'"error_info":{}', b'"error_info":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    )

    with pytest.raises(MalformedMessage):
        decode(topic_name(TIMEOUT), wire)


def test_a_message_over_the_limit_is_malformed() -> None:
    """900 KB are read, one byte more is not."""
    wire = encode(sample(TIMEOUT))
    full = wire + b" " * (EVENT_BYTES_MAX - len(wire))

    assert decode(topic_name(TIMEOUT), full) == sample(TIMEOUT)
    with pytest.raises(MalformedMessage, match="900,001 bytes"):
        decode(topic_name(TIMEOUT), full + b" ")


def test_a_topic_that_is_not_ours_is_malformed() -> None:
    """What came from a topic that carries no event of ours is refused by its name."""
    with pytest.raises(MalformedMessage, match=r"'huleedu\.other' is none of our topics"):
        decode("huleedu.other", encode(sample(TIMEOUT)))


@pytest.mark.parametrize("status", ["awaiting_spellcheck", "uploaded", "nlp_success"])
def test_a_result_says_success_or_failure(status: str) -> None:
    """A result with a status that is no result is refused."""
    with pytest.raises(MalformedMessage, match=status):
        decode(topic_name(RESULT), _with(_spoken(RESULT), "data.status", status))


def test_a_request_asks_for_a_check() -> None:
    """A request with a status other than awaiting_spellcheck is refused."""
    event = ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED
    with pytest.raises(MalformedMessage, match="spellchecked_success"):
        decode(topic_name(event), _with(_spoken(event), "data.status", "spellchecked_success"))


def test_a_bug_of_ours_cannot_say_a_time_without_offset() -> None:
    """A naive time is refused where it is made, in the data and in the envelope."""
    naive = AT.replace(tzinfo=None)
    request = DATA[ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED]
    result = DATA[RESULT]
    assert isinstance(request, EssayLifecycleSpellcheckRequestV1)
    assert isinstance(result, SpellcheckResultDataV1)

    with pytest.raises(ValueError, match="no offset"):
        SpellcheckResultDataV1(
            entity_ref=result.entity_ref,
            timestamp=naive,
            status=result.status,
            system_metadata=result.system_metadata,
            original_text_storage_id=result.original_text_storage_id,
        )
    with pytest.raises(ValueError, match="no offset"):
        envelope_of(
            topic_name(RESULT),
            result,
            event_id=UUID(int=1),
            at=naive,
            source_service="x",
            correlation_id=None,
        )
