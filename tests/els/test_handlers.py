"""What ELS says about what it hears, on a real store."""

import sqlite3
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.enums import EssayStatus, PipelineExecutionStatus, ProcessingEvent, RefusalReason
from huleedu.core.errors import NotFound, Rejected
from huleedu.core.message import Header, Message
from huleedu.core.messages import (
    BatchEssaysReady,
    ELSBatchPhaseOutcomeV1,
    EssayContentRefused,
    EssayLifecycleSpellcheckRequestV1,
)
from huleedu.els.handlers import EssayLifecycle
from huleedu.els.views import batch_status, essay_timeline
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

ESSAYS = ("e2", "e1", "e3")
TEXTS = {essay: f"text-{essay}" for essay in ESSAYS}


@pytest.fixture
def store() -> Iterator[sqlite3.Connection]:
    with els_tables() as connection:
        yield connection


def els_hears(store: sqlite3.Connection, *messages: Message) -> Sequence[Message]:
    return EssayLifecycle().apply(store, [hear(message) for message in messages], AT)


def make_ready(store: sqlite3.Connection) -> Sequence[Message]:
    texts = [content_ready("b", essay, text, f"P {essay}") for essay, text in TEXTS.items()]
    return els_hears(store, registered("b", ESSAYS), *texts)


def make_dispatched(store: sqlite3.Connection) -> Sequence[Message]:
    make_ready(store)
    return els_hears(store, spellcheck_command("b", TEXTS))


def events(messages: Sequence[Message]) -> list[ProcessingEvent]:
    return [hear(message).event for message in messages]


def test_a_complete_batch_is_said_to_be_ready_with_its_texts_in_registered_order(
    store: sqlite3.Connection,
) -> None:
    """With the registration's correlation id, and without the names that came with the texts."""
    (message,) = make_ready(store)

    heard = hear(message)
    data = heard.data
    assert isinstance(data, BatchEssaysReady)
    assert data.ready_essay_ids == list(ESSAYS)
    assert data.ready_essays is not None
    assert [(e.essay_id, e.text_storage_id, e.student_name) for e in data.ready_essays] == [
        (essay, text, None) for essay, text in TEXTS.items()
    ]
    assert heard.envelope.correlation_id == CORRELATION


def test_a_text_that_cannot_be_taken_is_refused_with_its_reason(store: sqlite3.Connection) -> None:
    make_ready(store)

    said = els_hears(store, content_ready("b", "e1", "late"), content_ready("b", "e9", "stranger"))

    refusals = [hear(message).data for message in said]
    assert [(r.essay_id, r.reason) for r in refusals if isinstance(r, EssayContentRefused)] == [
        ("e1", RefusalReason.BATCH_READY),
        ("e9", RefusalReason.NOT_REGISTERED),
    ]


def test_a_command_requests_each_essay_once(store: sqlite3.Connection) -> None:
    said = make_dispatched(store)
    again = els_hears(store, spellcheck_command("b", TEXTS))

    requests = [hear(message).data for message in said]
    assert [
        (r.essay_id, r.text_storage_id, r.batch_id)
        for r in requests
        if isinstance(r, EssayLifecycleSpellcheckRequestV1)
    ] == [(essay, text, "b") for essay, text in TEXTS.items()]
    assert {message.headers[Header.ATTEMPT] for message in said} == {"1"}
    assert [message.key.decode() for message in said] == list(ESSAYS)
    assert again == []


@settings(max_examples=60)
@given(
    st.permutations(ESSAYS),
    st.lists(st.sampled_from(ESSAYS), max_size=6),
    st.dictionaries(st.sampled_from(ESSAYS), st.just(False)),
    st.integers(1, 4),
)
def test_the_phase_concludes_once_for_all_essays(
    order: list[str], repeats: list[str], failing: dict[str, bool], fetch: int
) -> None:
    """Under every order, repetition and grouping of the results."""
    results = [
        spellcheck_result("b", essay, success=failing.get(essay, True))
        for essay in [*repeats, *order, *repeats]
    ]
    with els_tables() as store:
        make_dispatched(store)
        said = [
            message
            for start in range(0, len(results), fetch)
            for message in els_hears(store, *results[start : start + fetch])
        ]
        status = batch_status(store, "b")

    (outcome,) = [hear(message).data for message in said]
    assert isinstance(outcome, ELSBatchPhaseOutcomeV1)
    good = [essay for essay in ESSAYS if failing.get(essay, True)]
    assert [essay.essay_id for essay in outcome.processed_essays] == good
    assert [e.text_storage_id for e in outcome.processed_essays] == [f"corrected-{e}" for e in good]
    assert outcome.failed_essay_ids == [essay for essay in ESSAYS if not failing.get(essay, True)]
    assert outcome.phase_status == {
        3: PipelineExecutionStatus.COMPLETED_SUCCESSFULLY,
        0: PipelineExecutionStatus.FAILED,
    }.get(len(good), PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS)
    assert status["completion_percentage"] == 100.0


def test_a_result_of_another_attempt_changes_nothing(store: sqlite3.Connection) -> None:
    make_dispatched(store)

    said = els_hears(store, *(spellcheck_result("b", essay, attempt=2) for essay in ESSAYS))

    assert said == []
    assert batch_status(store, "b")["status_breakdown"] == {
        EssayStatus.AWAITING_SPELLCHECK.value: 3
    }


def test_a_result_without_an_attempt_counts_for_the_current_one(store: sqlite3.Connection) -> None:
    """A foreign checker does not know of attempts."""
    make_dispatched(store)

    said = els_hears(store, *(spellcheck_result("b", essay, attempt=None) for essay in ESSAYS))

    assert events(said) == [ProcessingEvent.BATCH_PHASE_CONCLUDED]


def test_a_failed_essay_can_be_commanded_again_and_the_outcome_speaks_of_all(
    store: sqlite3.Connection,
) -> None:
    make_dispatched(store)
    els_hears(store, *(spellcheck_result("b", e, success=e != "e1") for e in ESSAYS))

    requests = els_hears(store, spellcheck_command("b", TEXTS, attempt=2))
    (outcome,) = els_hears(store, spellcheck_result("b", "e1", attempt=2))

    assert [message.key for message in requests] == [b"e1"]
    data = hear(outcome).data
    assert isinstance(data, ELSBatchPhaseOutcomeV1)
    assert [essay.essay_id for essay in data.processed_essays] == list(ESSAYS)
    assert outcome.headers[Header.ATTEMPT] == "2"


def test_a_command_that_moves_no_essay_is_answered_at_once(store: sqlite3.Connection) -> None:
    """No batch waits for ever."""
    make_ready(store)

    said = els_hears(store, spellcheck_command("b", {"unknown": "text"}))

    assert events(said) == [ProcessingEvent.BATCH_PHASE_CONCLUDED]


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (spellcheck_command("unknown", TEXTS), NotFound),
        (spellcheck_result("b", "unknown"), NotFound),
    ],
)
def test_a_message_that_breaks_a_rule_is_rejected(
    store: sqlite3.Connection, message: Message, fault: type[Rejected]
) -> None:
    with pytest.raises(fault):
        els_hears(store, message)


def test_the_timeline_tells_when_each_status_was_reached(store: sqlite3.Connection) -> None:
    make_dispatched(store)
    els_hears(store, spellcheck_result("b", "e1"))

    timeline = essay_timeline(store, "e1", "b")

    assert list(timeline["timeline"]) == [
        "ready_for_processing",
        "awaiting_spellcheck",
        "spellchecked_success",
    ]
    assert timeline["current_status"] == "spellchecked_success"
