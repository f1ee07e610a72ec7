"""What ELS logs: what changed nothing, and that the details of pupils were received."""

import sqlite3
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from huleedu.core.enums import ProcessingEvent
from huleedu.core.message import Message
from huleedu.core.metrics import ELS_CONTENT_REFUSED, ELS_SKIPPED
from huleedu.core.topics import topic_name
from huleedu.els.handlers import EssayLifecycle
from huleedu.els.log import BATCH_LINES_MAX
from tests.els.test_store_agrees import els_tables
from tests.support.builders import AT, CORRELATION, content_ready, hear, registered

REGISTERED = ProcessingEvent.BATCH_ESSAYS_REGISTERED
CONTENT = ProcessingEvent.ESSAY_CONTENT_READY
Line = MutableMapping[str, Any]


@pytest.fixture
def store() -> Iterator[sqlite3.Connection]:
    with els_tables() as connection:
        yield connection


def _hears(store: sqlite3.Connection, *messages: Message, details: bool = False) -> list[Line]:
    with capture_logs() as lines:
        lifecycle = EssayLifecycle(log_student_details=details)
        lifecycle.apply(store, [hear(message) for message in messages], AT)
    return list(lines)


def _count(event: ProcessingEvent, reason: str) -> float:
    return float(ELS_SKIPPED.labels(event.value, reason)._value.get())


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("essay_ids", "reason"),
    [(["e1", "e2"], "repeated"), (["e2", "e1"], "repeated"), (["e1", "e3"], "other_ids")],
)
def test_a_second_registration_is_logged_and_counted(
    store: sqlite3.Connection, essay_ids: list[str], reason: str, together: bool
) -> None:
    """Whether it says the same or something else, in the fetch of the first one or later."""
    first, second = registered("b", ["e1", "e2"]), registered("b", essay_ids)
    before = _count(REGISTERED, reason)

    if together:
        lines = _hears(store, first, second)
    else:
        lines = [*_hears(store, first), *_hears(store, second)]

    (line,) = lines
    assert line["event"] == "transition_skipped"
    assert line["event_type"] == topic_name(REGISTERED)
    assert line["event_id"] == second.event_id
    assert (line["batch_id"], line["correlation_id"]) == ("b", str(CORRELATION))
    assert ("other ids" in line["reason"]) == (reason == "other_ids")
    assert _count(REGISTERED, reason) == before + 1


@pytest.mark.parametrize("is_registered", [True, False])
def test_a_repeated_text_is_logged_and_counted(
    store: sqlite3.Connection, is_registered: bool
) -> None:
    """Also before the registration of its batch, and within a fetch."""
    _hears(store, *[registered("b", ["e1", "e2"])] * is_registered)
    before = _count(CONTENT, "repeated")
    texts = [content_ready("b", "e1", "text") for _ in range(3)]

    lines = [*_hears(store, *texts[:2]), *_hears(store, texts[2])]

    assert [line["event_id"] for line in lines] == [text.event_id for text in texts[1:]]
    for line in lines:
        assert line["event"] == "transition_skipped"
        assert (line["batch_id"], line["essay_id"]) == ("b", "e1")
    assert _count(CONTENT, "repeated") == before + 2


def test_a_text_with_another_id_is_logged_and_counted(store: sqlite3.Connection) -> None:
    """It is refused: its batch has no such essay, whether it came before or after."""
    before = ELS_CONTENT_REFUSED.labels("not_registered")._value.get()
    early = _hears(store, content_ready("b", "e8", "text"), registered("b", ["e1"]))
    late = _hears(store, content_ready("b", "e9", "text"))

    for (line,), essay_id in ((early, "e8"), (late, "e9")):
        assert (line["event"], line["reason"]) == ("content_refused", "not_registered")
        assert (line["batch_id"], line["essay_id"]) == ("b", essay_id)
        assert line["correlation_id"] == str(CORRELATION)
    assert ELS_CONTENT_REFUSED.labels("not_registered")._value.get() == before + 2


def test_that_details_of_pupils_came_is_logged_without_them(store: sqlite3.Connection) -> None:
    """One line for each batch, with its correlation id and the type of the event."""
    lines = _hears(
        store,
        registered("b", ["e1", "e2", "e3"]),
        content_ready("b", "e1", "t1", "Åsa Öberg"),
        content_ready("b", "e2", "t2", "Love Sandell"),
        content_ready("b", "e3", "t3"),
        content_ready("c", "e1", "t1", "Astrid Blomkvist"),
    )

    assert [(line["event"], line["batch_id"], line["essays"]) for line in lines] == [
        ("student_details_received", "b", 2),
        ("student_details_received", "c", 1),
    ]
    for line in lines:
        assert line["correlation_id"] == str(CORRELATION)
        assert line["event_type"] == topic_name(CONTENT)
    assert not any(name in str(lines) for name in ("Öberg", "Sandell", "Blomkvist"))


def test_details_of_many_batches_are_logged_in_one_line(store: sqlite3.Connection) -> None:
    """A fetch under load holds texts of hundreds of batches: each is named all the same."""
    batch_ids = [f"b{number:02}" for number in range(BATCH_LINES_MAX + 1)]

    (line,) = _hears(store, *(content_ready(one, "e1", "t1", "Åsa Öberg") for one in batch_ids))

    assert line["event"] == "student_details_received"
    assert sorted(line["batch_ids"]) == batch_ids
    assert line["correlation_ids"] == [str(CORRELATION)] * len(batch_ids)
    assert line["essays"] == len(batch_ids)
    assert "Öberg" not in str(line)


def test_details_of_pupils_are_logged_on_request(store: sqlite3.Connection) -> None:
    """With ESSAY_LIFECYCLE_SERVICE_LOG_STUDENT_DETAILS: a line for each essay."""
    text = content_ready("b", "e1", "t1", "Åsa Öberg")

    (line,) = _hears(store, registered("b", ["e1", "e2"]), text, details=True)

    assert line["event"] == "student_details_received"
    assert (line["student_name"], line["student_email"]) == ("Åsa Öberg", None)
    assert (line["batch_id"], line["essay_id"]) == ("b", "e1")
    assert (line["event_id"], line["correlation_id"]) == (text.event_id, str(CORRELATION))
    assert line["event_type"] == topic_name(CONTENT)


@pytest.mark.parametrize("details", [True, False])
def test_nothing_is_logged_where_no_details_came(store: sqlite3.Connection, details: bool) -> None:
    lines = _hears(
        store, registered("b", ["e1", "e2"]), content_ready("b", "e1", "t1"), details=details
    )

    assert lines == []
