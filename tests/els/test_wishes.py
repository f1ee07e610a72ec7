"""What ELS does when a teacher wants a batch to wait longer, to go on, or to stop."""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pytest

from huleedu.core.clock import to_text
from huleedu.core.enums import PipelineExecutionStatus, ProcessingEvent, RefusalReason
from huleedu.core.errors import MalformedMessage
from huleedu.core.message import Message
from huleedu.core.messages import BatchEssaysReady, ELSBatchPhaseOutcomeV1, EssayContentRefused
from huleedu.core.metrics import ELS_TRANSITIONS_SKIPPED
from huleedu.els.deadlines import Deadlines, ReadinessTimeout, next_deadline
from huleedu.els.handlers import EssayLifecycle
from huleedu.els.views import batch_essays, batch_status, essay_status, essay_timeline
from tests.els.test_store_agrees import els_tables
from tests.support.builders import (
    AT,
    CORRELATION,
    content_ready,
    hear,
    registered,
    spellcheck_command,
    spellcheck_result,
)
from tests.support.wishing import cancelled, extended, proceed, waiting

ESSAYS = ("e2", "e1", "e3")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def store() -> Iterator[sqlite3.Connection]:
    with els_tables() as connection:
        yield connection


def els_hears(
    store: sqlite3.Connection, *messages: Message, at: datetime = AT
) -> Sequence[Message]:
    return EssayLifecycle().apply(store, [hear(message) for message in messages], at)


def timeouts(store: sqlite3.Connection, at: datetime) -> Sequence[ReadinessTimeout]:
    return Deadlines(store, at).pass_readiness(100)


def breakdown(store: sqlite3.Connection) -> object:
    return batch_status(store, "b")["status_breakdown"]


def refusals(said: Sequence[Message]) -> list[tuple[str, RefusalReason]]:
    data = [hear(message).data for message in said]
    return [(one.essay_id, one.reason) for one in data if isinstance(one, EssayContentRefused)]


def ready_in(message: Message) -> BatchEssaysReady:
    data = hear(message).data
    assert isinstance(data, BatchEssaysReady)
    return data


def outcome_in(message: Message) -> ELSBatchPhaseOutcomeV1:
    data = hear(message).data
    assert isinstance(data, ELSBatchPhaseOutcomeV1)
    return data


# Proceed


def test_a_batch_told_to_proceed_is_ready_with_what_is_there(store: sqlite3.Connection) -> None:
    """The essays without a text have failed, wherever one asks."""
    els_hears(store, registered("b", ESSAYS), content_ready("b", "e1", "t1"))

    (said,) = els_hears(store, proceed("b"), at=AT + HOUR)

    ready = ready_in(said)
    assert (ready.ready_essay_ids, ready.total_count) == (["e1"], 1)
    assert hear(said).envelope.correlation_id == CORRELATION
    assert breakdown(store) == {"ready_for_processing": 1, "content_ingestion_failed": 2}
    assert batch_status(store, "b")["completion_percentage"] == 66.7
    assert essay_status(store, "e2", None)["current_status"] == "content_ingestion_failed"
    assert essay_status(store, "e2", "b")["failure"] == "the batch went on without this essay"
    assert essay_timeline(store, "e2", "b")["timeline"] == {
        "uploaded": to_text(AT),
        "content_ingestion_failed": to_text(AT + HOUR),
    }
    assert [one["essay_id"] for one in batch_essays(store, "b")["essays"]] == ["e1"]


def test_what_comes_after_a_batch_was_closed_is_refused(store: sqlite3.Connection) -> None:
    """A text for a free slot as well as another one for a filled slot; the same one is not."""
    els_hears(store, registered("b", ESSAYS), content_ready("b", "e1", "t1"), proceed("b"))

    said = els_hears(
        store,
        content_ready("b", "e1", "t1"),
        content_ready("b", "e1", "other"),
        content_ready("b", "e2", "late"),
        content_ready("b", "e9", "stranger"),
    )

    assert refusals(said) == [
        ("e1", RefusalReason.BATCH_CLOSED),
        ("e2", RefusalReason.BATCH_CLOSED),
        ("e9", RefusalReason.NOT_REGISTERED),
    ]
    assert breakdown(store) == {"ready_for_processing": 1, "content_ingestion_failed": 2}


def test_a_batch_without_a_text_proceeds_empty(store: sqlite3.Connection) -> None:
    els_hears(store, registered("b", ESSAYS))

    (said,) = els_hears(store, proceed("b"))

    ready = ready_in(said)
    assert (ready.ready_essay_ids, ready.ready_essays, ready.total_count) == ([], [], 0)
    assert breakdown(store) == {"content_ingestion_failed": 3}
    assert batch_status(store, "b")["completion_percentage"] == 100.0


def test_the_outcome_counts_the_missing_essays_as_failed(store: sqlite3.Connection) -> None:
    """Also after a retry, which cannot bring them back."""
    els_hears(store, registered("b", ESSAYS), content_ready("b", "e1", "t1"), proceed("b"))
    els_hears(store, spellcheck_command("b", {"e1": "t1"}))
    (first,) = els_hears(store, spellcheck_result("b", "e1", success=False))
    requests = els_hears(store, spellcheck_command("b", dict.fromkeys(ESSAYS, "t"), attempt=2))
    (second,) = els_hears(store, spellcheck_result("b", "e1", attempt=2))

    assert outcome_in(first).failed_essay_ids == list(ESSAYS)
    assert outcome_in(first).phase_status is PipelineExecutionStatus.FAILED
    assert [hear(message).essay_id for message in requests] == ["e1"]
    assert outcome_in(second).failed_essay_ids == ["e2", "e3"]
    assert outcome_in(second).phase_status is PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS


@pytest.mark.parametrize("early", [True, False])
def test_told_to_proceed_before_its_registration_a_batch_is_ready_with_it(
    store: sqlite3.Connection, early: bool
) -> None:
    """With the texts that came by then."""
    if early:
        els_hears(store, content_ready("b", "e1", "t1"), content_ready("b", "e9", "stranger"))
    assert els_hears(store, proceed("b"), proceed("b")) == []

    said = els_hears(store, registered("b", ESSAYS))

    assert ready_in(said[0]).ready_essay_ids == (["e1"] if early else [])
    assert refusals(said[1:]) == ([("e9", RefusalReason.NOT_REGISTERED)] if early else [])
    assert refusals(els_hears(store, content_ready("b", "e2", "t2"))) == [
        ("e2", RefusalReason.BATCH_CLOSED)
    ]


def test_told_to_proceed_early_a_batch_that_has_everything_is_not_closed(
    store: sqlite3.Connection,
) -> None:
    """Nothing was missing: it became ready like any other."""
    els_hears(store, proceed("b"), *(content_ready("b", essay, "t") for essay in ESSAYS))

    (said,) = els_hears(store, registered("b", ESSAYS))

    assert ready_in(said).ready_essay_ids == list(ESSAYS)
    assert refusals(els_hears(store, content_ready("b", "e1", "other"))) == [
        ("e1", RefusalReason.BATCH_READY)
    ]


# Cancel


def test_a_cancelled_batch_fails_what_is_not_at_an_end(store: sqlite3.Connection) -> None:
    """With the reason; results that come later change nothing, and nothing more is said."""
    texts = {essay: f"t-{essay}" for essay in ESSAYS}
    els_hears(store, registered("b", ESSAYS), *(content_ready("b", e, t) for e, t in texts.items()))
    els_hears(store, spellcheck_command("b", texts))
    els_hears(store, spellcheck_result("b", "e1"), spellcheck_result("b", "e2", success=False))

    said = els_hears(store, cancelled("b", "registered twice"))
    late = els_hears(store, spellcheck_result("b", "e3"), spellcheck_result("b", "e2"))
    again = els_hears(store, spellcheck_command("b", texts, attempt=2))

    assert [*said, *late, *again] == []
    assert breakdown(store) == {"spellchecked_success": 1, "essay_critical_failure": 2}
    assert essay_status(store, "e3", "b")["failure"] == "registered twice"


def test_a_cancelled_batch_is_never_ready_nor_late(store: sqlite3.Connection) -> None:
    """Its essays have failed, also those without a text; what comes is refused."""
    els_hears(store, registered("b", ESSAYS), content_ready("b", "e1", "t1"))

    els_hears(store, cancelled("b", "wrong class"), at=AT + HOUR)

    assert breakdown(store) == {"essay_critical_failure": 3}
    assert essay_timeline(store, "e2", "b")["timeline"] == {
        "uploaded": to_text(AT),
        "essay_critical_failure": to_text(AT + HOUR),
    }
    assert essay_status(store, "e2", "b")["failure"] == "wrong class"
    said = els_hears(
        store,
        content_ready("b", "e1", "t1"),
        *(content_ready("b", essay, "late") for essay in ESSAYS),
        proceed("b"),
        extended("b", AT + 2 * HOUR),
    )
    assert refusals(said) == [(essay, RefusalReason.BATCH_CANCELLED) for essay in ESSAYS]
    assert len(said) == len(ESSAYS)
    assert timeouts(store, AT + 2 * DAY) == []


def test_cancelled_before_its_registration_a_batch_is_never_ready(
    store: sqlite3.Connection,
) -> None:
    """Whatever came before that."""
    els_hears(store, content_ready("b", "e1", "t1"), proceed("b"), cancelled("b"))
    early = els_hears(store, content_ready("b", "e2", "t2"))

    said = els_hears(store, registered("b", ESSAYS), at=AT + HOUR)

    assert refusals(early) == [("e2", RefusalReason.BATCH_CANCELLED)]
    assert hear(early[0]).envelope.correlation_id == CORRELATION
    assert said == []
    assert breakdown(store) == {"essay_critical_failure": 3}
    assert essay_timeline(store, "e2", "b")["last_updated"] == to_text(AT + HOUR)


def test_a_cancellation_that_overtakes_the_retry_before_it_stops_the_batch(
    store: sqlite3.Connection,
) -> None:
    """The retry is not begun; that the attempt before it was over is no reason to skip it."""
    texts = {"e1": "t1", "e2": "t2"}
    els_hears(
        store, registered("b", [*texts]), *(content_ready("b", e, t) for e, t in texts.items())
    )
    els_hears(store, spellcheck_command("b", texts))
    els_hears(store, spellcheck_result("b", "e1"), spellcheck_result("b", "e2", success=False))

    said = els_hears(store, cancelled("b", "wrong class"))
    again = els_hears(store, spellcheck_command("b", {"e2": "t2"}, attempt=2))

    assert [*said, *again] == []
    assert breakdown(store) == {"spellchecked_success": 1, "essay_critical_failure": 1}
    assert essay_status(store, "e2", "b")["failure"] == "wrong class"


def test_a_batch_that_went_on_without_any_text_is_cancelled_too(store: sqlite3.Connection) -> None:
    """Its essays have failed before that, and stay as they are."""
    els_hears(store, registered("b", ESSAYS), proceed("b"))

    els_hears(store, cancelled("b"))

    assert breakdown(store) == {"content_ingestion_failed": 3}
    said = els_hears(store, content_ready("b", "e1", "late"))
    assert refusals(said) == [("e1", RefusalReason.BATCH_CANCELLED)]


# Deadlines of readiness


def test_a_batch_is_late_at_its_own_deadline(store: sqlite3.Connection) -> None:
    """Once; it is told who is there and who is missing, and nothing is closed."""
    els_hears(store, waiting("b", ESSAYS, "90.5"), content_ready("b", "e1", "t1"))

    assert timeouts(store, AT + timedelta(seconds=90)) == []
    (late,) = timeouts(store, AT + timedelta(seconds=91))
    assert timeouts(store, AT + DAY) == []

    assert [text.essay_id for text in late.texts] == ["e1"]
    assert late.missing_essay_ids == ["e2", "e3"]
    assert late.seconds == 90.5
    (said,) = els_hears(store, *(content_ready("b", essay, "t1") for essay in ESSAYS))
    assert ready_in(said).ready_essay_ids == list(ESSAYS)


def test_a_batch_that_names_no_deadline_has_the_default(store: sqlite3.Connection) -> None:
    els_hears(store, registered("b", ESSAYS))

    assert timeouts(store, AT + DAY - timedelta(microseconds=1)) == []
    assert [late.seconds for late in timeouts(store, AT + DAY)] == [DAY.total_seconds()]


@pytest.mark.parametrize("seconds", ["0.9", "7776000.1", "-5", "1e3", "soon", "", "nan", "٣٠"])
def test_a_deadline_that_is_none_is_refused(store: sqlite3.Connection, seconds: str) -> None:
    """Out of bounds, or no number: the registration is set aside with the reason."""
    with pytest.raises(MalformedMessage, match="readiness-timeout-seconds of batch 'b'"):
        els_hears(store, waiting("b", ESSAYS, seconds))


@pytest.mark.parametrize("seconds", ["1", "7776000"])
def test_the_bounds_of_a_deadline_are_allowed(store: sqlite3.Connection, seconds: str) -> None:
    els_hears(store, waiting("b", ESSAYS, seconds))

    (late,) = timeouts(store, AT + timedelta(days=90))

    assert late.seconds == float(seconds)


def test_an_extended_batch_is_late_at_the_new_deadline(store: sqlite3.Connection) -> None:
    """Which lasted from the moment when it was set."""
    els_hears(store, registered("b", ESSAYS))
    els_hears(store, extended("b", AT + 2 * DAY), at=AT + HOUR)

    assert timeouts(store, AT + DAY) == []
    (late,) = timeouts(store, AT + 2 * DAY)
    assert timedelta(seconds=late.seconds) == 2 * DAY - HOUR


def test_each_deadline_is_told_once_also_when_an_extension_is_repeated(
    store: sqlite3.Connection,
) -> None:
    """A later deadline is a new one; the repeat of an older one is none."""
    els_hears(store, waiting("b", ESSAYS, "60"))
    first = timeouts(store, AT + HOUR)
    els_hears(store, extended("b", AT + 2 * HOUR), at=AT + HOUR)
    second = timeouts(store, AT + 3 * HOUR)
    for deadline in (AT + timedelta(seconds=60), AT + 2 * HOUR):
        els_hears(store, extended("b", deadline), at=AT + 3 * HOUR)
    third = timeouts(store, AT + 4 * HOUR)
    els_hears(store, extended("b", AT + 5 * HOUR), at=AT + 4 * HOUR)
    fourth = timeouts(store, AT + 5 * HOUR)

    assert [len(one) for one in (first, second, third, fourth)] == [1, 1, 0, 1]
    assert len({late.deadline for late in (*first, *second, *fourth)}) == 3


def test_an_extension_that_overtakes_the_registration_counts(store: sqlite3.Connection) -> None:
    """Rather than the registration's own deadline."""
    els_hears(store, extended("b", AT + 2 * HOUR))

    assert timeouts(store, AT + 3 * HOUR) == []
    els_hears(store, waiting("b", ESSAYS, "60"), at=AT + HOUR)
    assert timeouts(store, AT + 2 * HOUR - timedelta(seconds=1)) == []
    assert [late.seconds for late in timeouts(store, AT + 2 * HOUR)] == [7200.0]


def test_a_batch_that_became_ready_is_not_late(store: sqlite3.Connection) -> None:
    """Neither with all its essays, nor closed; an extension then changes nothing."""
    els_hears(store, waiting("b", ["e1"], "60"), content_ready("b", "e1", "t1"))
    els_hears(store, waiting("c", ESSAYS, "60"), proceed("c"))
    els_hears(store, extended("b", AT + HOUR), extended("c", AT + HOUR))

    assert timeouts(store, AT + DAY) == []
    assert next_deadline(store) is None


# What is not allowed


def test_a_wish_that_is_not_allowed_is_counted_and_changes_nothing(
    store: sqlite3.Connection,
) -> None:
    """It is skipped: the teacher learns from BOS how the batch stands."""
    els_hears(store, registered("b", ["e1"]), content_ready("b", "e1", "t1"))
    events = (ProcessingEvent.BATCH_READINESS_EXTENDED, ProcessingEvent.BATCH_PROCEED_REQUESTED)
    before = [ELS_TRANSITIONS_SKIPPED.labels(event.value)._value.get() for event in events]

    assert els_hears(store, extended("b", AT + HOUR), proceed("b")) == []

    after = [ELS_TRANSITIONS_SKIPPED.labels(event.value)._value.get() for event in events]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1]
    assert breakdown(store) == {"ready_for_processing": 1}
