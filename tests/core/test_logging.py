"""Log lines can be searched by their fields, and hold nothing that must not be read."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from huleedu.core.logging import (
    LogFormat,
    configure_logging,
    create_service_logger,
    log_event_processing,
)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_fields(stream: io.StringIO) -> None:
    """Event, level, logger, time and fields are members; a line break stays inside its line."""
    configure_logging("INFO", "json", stream)
    create_service_logger("bos").info("batch_registered", batch_id="b1", course="SV1\nENG5")

    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "batch_registered",
        "level": "info",
        "logger": "huleedu.bos",
        "batch_id": "b1",
        "course": "SV1\nENG5",
    }


def test_what_a_context_binds_is_on_every_line(stream: io.StringIO) -> None:
    """The correlation id of a request is a field of each line within it, a library's too."""
    configure_logging("INFO", "json", stream)
    with structlog.contextvars.bound_contextvars(correlation_id="c1"):
        create_service_logger("bos").info("ours")
        logging.getLogger("some.library").warning("theirs: %s", 5)
    create_service_logger("bos").info("after")

    assert [(line["event"], line.get("correlation_id")) for line in lines(stream)] == [
        ("ours", "c1"),
        ("theirs: 5", "c1"),
        ("after", None),
    ]


def test_the_story_of_an_event_has_its_ids(stream: io.StringIO) -> None:
    """What became of an event is told with the ids by which a batch's story is joined."""
    configure_logging("INFO", "json", stream)
    ids: dict[str, Any] = {
        "event_type": "t",
        "event_id": "e",
        "correlation_id": "c",
        "batch_id": "b",
    }
    log_event_processing(create_service_logger("els"), "handled", essay_id="x", seconds=1.5, **ids)
    log_event_processing(create_service_logger("els"), "handled", **ids)

    one_essay, whole_batch = lines(stream)
    assert ids.items() <= one_essay.items()
    assert (one_essay["essay_id"], one_essay["seconds"]) == ("x", 1.5)
    assert "essay_id" not in whole_batch


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_stars(stream: io.StringIO, form: LogFormat) -> None:
    """A field that is named like a secret is masked, also inside another field."""
    configure_logging("INFO", form, stream)
    create_service_logger("app").info(
        "started",
        role_secret="hush",
        API_KEY="hush",
        headers={"Authorization": "hush", "Host": "x"},
        nested={"deep": {"db_password": "hush"}},
    )

    assert "hush" not in stream.getvalue()
    assert stream.getvalue().count("***") == 4
    assert "Host" in stream.getvalue()


def fail_over(text: str) -> None:
    raise ValueError(f"cannot read {len(text)} characters")


def test_a_traceback_is_data(stream: io.StringIO) -> None:
    """An exception is told as type, message and frames on the same line."""
    configure_logging("INFO", "json", stream)
    try:
        fail_over("abc")
    except ValueError:
        create_service_logger("files").exception("extraction_failed")

    (line,) = lines(stream)
    (told,) = line["exception"]
    assert (told["exc_type"], told["exc_value"]) == ("ValueError", "cannot read 3 characters")
    assert told["frames"][-1]["name"] == "fail_over"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_does_not_tell_the_texts(stream: io.StringIO, form: LogFormat) -> None:
    """Local variables, which hold essays, names and secrets, stay out of the log."""
    configure_logging("INFO", form, stream)
    essay = " ".join(["Anna", "skrev", "detta"])
    try:
        fail_over(essay)
    except ValueError:
        create_service_logger("files").exception("extraction_failed")

    assert "ValueError" in stream.getvalue()
    assert "fail_over" in stream.getvalue()
    assert "Anna skrev" not in stream.getvalue()


def test_the_level_holds_for_all_loggers(stream: io.StringIO) -> None:
    """Below the level nothing is written; per-request lines of libraries only as warnings."""
    configure_logging("info", "json", stream)
    create_service_logger("bos").debug("too_quiet")
    logging.getLogger("httpx").info("HTTP Request: GET ...")
    logging.getLogger("httpx").warning("loud")

    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_configuring_again_replaces(stream: io.StringIO) -> None:
    """A second configuration does not write each line twice."""
    configure_logging("INFO", "json", stream)
    configure_logging("INFO", "json", stream)
    create_service_logger("bos").info("once")

    assert [line["event"] for line in lines(stream)] == ["once"]
