"""Every way in which a message can break the contract, and what foreign senders may do instead."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from huleedu.core.enums import ProcessingEvent as E
from huleedu.core.envelope import encode
from huleedu.core.message import Message
from huleedu.core.topics import TOPICS
from tests.support.samples import BATCH_ID, sample

Data = dict[str, Any]
_REMOVED = object()
_UNKNOWN = "no such value"
_WRONG_VALUES: tuple[object, ...] = (
    _REMOVED,
    None,
    "",
    _UNKNOWN,
    "x" * 300,
    7,
    -1,
    True,
    [],
    {},
    ["", ""],
    [{}],
)


@dataclass(frozen=True)
class Damage:
    """A change of one message's data or headers."""

    name: str
    event: E
    data: Data
    headers: Mapping[str, str] = field(default_factory=dict)

    def message(self, number: int) -> Message:
        """Return the damaged message; ``number`` makes it an event of its own."""
        envelope = {**json.loads(encode(sample(self.event))), "data": self.data}
        topic = TOPICS[self.event]
        key = "essay-1" if topic.key == "essay_id" else BATCH_ID
        headers = {"event-id": f"{self.event.value}-{number}", **self.headers}
        return Message(topic.name, key.encode(), json.dumps(envelope).encode(), headers)


def good_data(event: E) -> Data:
    """Return the data of the sample of an event, as JSON."""
    data: Data = json.loads(encode(sample(event)))["data"]
    return data


def any_field_wrong(event: E) -> Iterator[Damage]:
    """Yield the sample with one field, anywhere in its data, absent or of a wrong value."""
    for path in _paths(good_data(event)):
        for value in _WRONG_VALUES:
            if value == _UNKNOWN and _is_id(path):
                continue  # the id of something else is not a breach of the contract
            data = good_data(event)
            _put(data, path, value)
            shown = "absent" if value is _REMOVED else json.dumps(value)[:20]
            yield Damage(f"{'.'.join(map(str, path))}: {shown}", event, data)


def _paths(part: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner: Iterator[tuple[str | int, Any]]
    match part:
        case dict():
            inner = iter(part.items())
        case list():
            inner = iter(list(enumerate(part))[:1])
        case _:
            return
    for name, value in inner:
        yield (*path, name)
        yield from _paths(value, (*path, name))


def _is_id(path: Sequence[str | int]) -> bool:
    names = [name for name in path if isinstance(name, str)]
    return names[-1].endswith(("_id", "_ids"))


def _put(data: Any, path: tuple[str | int, ...], value: object) -> None:
    for name in path[:-1]:
        data = data[name]
    if value is _REMOVED:
        del data[path[-1]]
    else:
        data[path[-1]] = value


def _changed(**changes: Any) -> Callable[[Data], Data]:
    return lambda data: {**data, **changes}


def _entity(**changes: Any) -> Callable[[Data], Data]:
    return lambda data: {**data, "entity_ref": {**data["entity_ref"], **changes}}


def _reference(essay_id: str, storage_id: str = "0" * 32) -> Data:
    return {"essay_id": essay_id, "text_storage_id": storage_id}


def _many_ids(count: int, length: int) -> list[str]:
    return [f"{number:0{length}d}" for number in range(count)]


_CONTRADICTIONS: Mapping[E, Mapping[str, Callable[[Data], Data]]] = {
    E.BATCH_ESSAYS_REGISTERED: {
        "a count that differs from the ids": _changed(expected_essay_count=3),
        "no essay": _changed(expected_essay_count=1, essay_ids=[]),
        "an id twice": _changed(essay_ids=["essay-1", "essay-1"]),
        "an empty id": _changed(essay_ids=["essay-1", ""]),
        "a blank id": _changed(essay_ids=["essay-1", "  "]),
        "an id that is too long": _changed(essay_ids=["essay-1", "e" * 129]),
        "an id with a letter outside ASCII": _changed(essay_ids=["essay-1", "åsa"]),
        "an id with a quote": _changed(essay_ids=["essay-1", 'e"2']),
        "an id with a line break": _changed(essay_ids=["essay-1", "essay-2\n"]),
        "no batch": _changed(batch_id=""),
        "a batch id that is too long": _changed(batch_id="b" * 129),
        "more essays than an outcome can name": _changed(
            expected_essay_count=5_000, essay_ids=_many_ids(5_000, 128)
        ),
    },
    E.ESSAY_CONTENT_READY: {
        "no original text": lambda data: {
            **data,
            "content_storage_reference": {"references": {"corrected_text": {"storage_id": "a"}}},
        },
        "no essay": _changed(essay_id=""),
        "an essay id that is too long": _changed(essay_id="e" * 129),
        "no batch": _changed(batch_id=""),
        "no storage id": lambda data: {
            **data,
            "content_storage_reference": {"references": {"original_essay": {"storage_id": ""}}},
        },
    },
    E.BATCH_ESSAYS_READY: {
        "an id twice": _changed(ready_essay_ids=["essay-1", "essay-1"], ready_essays=None),
        "an essay twice": _changed(
            ready_essay_ids=["essay-1", "essay-1"],
            ready_essays=[_reference("essay-1"), _reference("essay-1")],
        ),
        "other essays than ids": _changed(ready_essays=[_reference("essay-1")]),
        "essays without ids": _changed(ready_essay_ids=[]),
        "no essays for its ids": _changed(ready_essays=[]),
        "no batch": _changed(batch_id=""),
    },
    E.BATCH_READINESS_TIMEOUT: {
        "an id twice": _changed(missing_essay_ids=["essay-2", "essay-2"]),
        "an essay both missing and ready": _changed(missing_essay_ids=["essay-1"]),
        "other essays than ids": _changed(ready_essays=[_reference("essay-9")]),
        "no batch": _changed(batch_id=""),
    },
    E.BATCH_SPELLCHECK_INITIATE_COMMAND: {
        "an essay twice": _changed(
            essays_to_process=[_reference("essay-1"), _reference("essay-1", "1" * 32)]
        ),
        "an unknown language": _changed(language="de"),
        "no batch": _entity(entity_id=""),
    },
    E.ESSAY_SPELLCHECK_REQUESTED: {
        "another status": _changed(status="uploaded"),
        "no batch": _entity(parent_id=None),
        "no essay": _entity(entity_id=""),
    },
    E.ESSAY_SPELLCHECK_RESULT_RECEIVED: {
        "a status that is no result": _changed(status="awaiting_spellcheck"),
        "success without a corrected text": _changed(storage_metadata=None),
        "success with a log only": _changed(
            storage_metadata={"references": {"processing_log": {"storage_id": "1" * 32}}}
        ),
        "corrections below 0": _changed(corrections_made=-1),
        "no essay": _entity(entity_id=""),
    },
    E.BATCH_PHASE_CONCLUDED: {
        "another phase": _changed(phase="nlp"),
        "a status that is no end": _changed(phase_status="in_progress"),
        "a status of other phases": _changed(phase_status="cancelled"),
        "an essay twice": _changed(failed_essay_ids=["essay-2", "essay-2"]),
        "an essay that both went well and failed": _changed(failed_essay_ids=["essay-1"]),
        "no batch": _entity(entity_id=""),
    },
    E.BATCH_READINESS_EXTENDED: {"no batch": _changed(batch_id="")},
    E.BATCH_PROCEED_REQUESTED: {"no batch": _changed(batch_id="")},
    E.BATCH_CANCELLED: {"no batch": _changed(batch_id="")},
    E.ESSAY_CONTENT_REFUSED: {
        "no batch": _changed(batch_id=""),
        "no essay": _changed(essay_id=""),
        "an unknown reason": _changed(reason="too good"),
    },
}
_WRONG_HEADERS = {
    "attempt": ("", "0", "-1", "1.5", "first", "1000000"),
    "readiness-timeout-seconds": ("", "0", "-5", "soon", "7776001", "1e3"),
}
_FOREIGN: Mapping[E, Mapping[str, Callable[[Data], Data]]] = {
    E.ESSAY_SPELLCHECK_RESULT_RECEIVED: {
        "the batch in the key only": _entity(parent_id=None),
        "a failure without texts": _changed(
            status="spellcheck_failed", storage_metadata=None, corrections_made=None
        ),
    },
    E.BATCH_ESSAYS_READY: {
        "no references": _changed(ready_essays=None),
        "in another order": lambda data: {**data, "ready_essays": data["ready_essays"][::-1]},
        "no essay at all": _changed(ready_essay_ids=[], ready_essays=None, total_count=0),
        "with names": lambda data: {
            **data,
            "ready_essays": [{**one, "student_name": "Åsa"} for one in data["ready_essays"]],
        },
    },
    E.BATCH_READINESS_TIMEOUT: {"no references": _changed(ready_essays=None)},
    E.BATCH_PHASE_CONCLUDED: {
        "all failed": _changed(
            phase_status="failed", processed_essays=[], failed_essay_ids=["essay-1", "essay-2"]
        )
    },
    E.BATCH_ESSAYS_REGISTERED: {
        "every character that an id may have": _changed(essay_ids=["A-z 0.9_:", "essay-2"])
    },
}


def contradictions(event: E) -> Iterator[Damage]:
    """Yield messages whose fields are each in order, but that break the contract."""
    for name, change in _CONTRADICTIONS[event].items():
        yield Damage(name, event, change(good_data(event)))
    for header in ("attempt", "readiness-timeout-seconds"):
        if header == "attempt" or event is E.BATCH_ESSAYS_REGISTERED:
            for text in _WRONG_HEADERS[header]:
                yield Damage(f"header {header}: {text!r}", event, good_data(event), {header: text})


def foreign(event: E) -> Iterator[Damage]:
    """Yield messages as other systems may rightly send them."""
    yield Damage("as ours", event, good_data(event))
    yield Damage("with more than we know", event, {**good_data(event), "zz_new": [1, {}]})
    for name, change in _FOREIGN.get(event, {}).items():
        yield Damage(name, event, change(good_data(event)))
