"""A cancelled batch is stopped, whatever else is under way to ELS when BOS says so."""

import sqlite3
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.enums import EssayStatus, ProcessingEvent
from huleedu.core.essay_state import TERMINAL
from huleedu.core.message import Message
from huleedu.els.handlers import EssayLifecycle
from huleedu.els.views import batch_status, essay_status
from tests.els.test_store_agrees import els_tables
from tests.support.builders import (
    AT,
    content_ready,
    hear,
    registered,
    spellcheck_command,
    spellcheck_result,
)
from tests.support.wishing import cancelled, proceed

TEXTS = {"good": "t1", "bad": "t2"}
ESSAYS = (*TEXTS, "missing")
FIRST_ATTEMPT: Sequence[Message] = (
    registered("b", ESSAYS),
    *(content_ready("b", essay_id, text) for essay_id, text in TEXTS.items()),
    proceed("b"),
    spellcheck_command("b", TEXTS),
    spellcheck_result("b", "good"),
    spellcheck_result("b", "bad", success=False),
)
"""What is heard first, a message a time."""
TEXTS_THERE = 1 + len(TEXTS)
"""So many of them, and ELS knows the batch and its texts."""
RETRY = spellcheck_command("b", {"bad": "t2"}, attempt=2)
CANCEL = cancelled("b", "wrong class")
AROUND: Sequence[Message] = (
    RETRY,
    CANCEL,
    spellcheck_result("b", "bad", attempt=2),
    spellcheck_result("b", "bad", attempt=None),
)
"""What BOS and a checker say afterwards, on topics that are read apart."""
REPEATS = (*FIRST_ATTEMPT, *AROUND, content_ready("b", "missing", "late"))

orders = st.lists(st.sampled_from(REPEATS), max_size=4).flatmap(
    lambda repeats: st.permutations([*AROUND, *repeats])
)
cuts = st.lists(st.booleans(), min_size=len(AROUND) + 4, max_size=len(AROUND) + 4)


def fetches(messages: Sequence[Message], cut: Sequence[bool]) -> Sequence[Sequence[Message]]:
    """Return the messages as they are heard: together, but where there is a cut."""
    together: list[list[Message]] = [[]]
    for message, is_apart in zip(messages, cut, strict=False):
        if is_apart and together[-1]:
            together.append([])
        together[-1].append(message)
    return together


def els_hears(store: sqlite3.Connection, messages: Sequence[Message]) -> list[ProcessingEvent]:
    said = EssayLifecycle().apply(store, [hear(message) for message in messages], AT)
    return [hear(message).event for message in said]


@given(st.integers(TEXTS_THERE, len(FIRST_ATTEMPT)), orders, cuts)
def test_once_cancelled_nothing_is_begun_concluded_or_left_waiting(
    first: int, order: list[Message], cut: list[bool]
) -> None:
    """Under every order, repetition and grouping of what is said around a retry and its cancel.

    Also when the cancellation overtakes what came before the retry.
    """
    refusals = {ProcessingEvent.ESSAY_CONTENT_REFUSED}
    is_cancelled = first < len(FIRST_ATTEMPT)
    with els_tables() as store:
        for message in FIRST_ATTEMPT[:first]:
            els_hears(store, [message])
        if is_cancelled:
            els_hears(store, [CANCEL])
        for fetch in fetches(order, cut):
            said = els_hears(store, fetch)
            is_cancelled = is_cancelled or CANCEL in fetch
            assert not is_cancelled or set(said) <= refusals

        ended = {essay_id: _status(store, essay_id) for essay_id in ESSAYS}
        assert set(ended.values()) <= TERMINAL
        assert batch_status(store, "b")["completion_percentage"] == 100.0
        for essay_id, status in ended.items():
            if status is EssayStatus.ESSAY_CRITICAL_FAILURE:
                assert essay_status(store, essay_id, "b")["failure"] == "wrong class"


def _status(store: sqlite3.Connection, essay_id: str) -> EssayStatus:
    return EssayStatus(essay_status(store, essay_id, "b")["current_status"])


@given(st.permutations([RETRY, CANCEL]), st.booleans())
def test_a_retry_and_its_cancellation_end_alike_in_either_order(
    order: list[Message], together: bool
) -> None:
    """What was checked before stays checked; what was to be checked again is stopped."""
    with els_tables() as store:
        for message in FIRST_ATTEMPT:
            els_hears(store, [message])

        for fetch in fetches(order, [not together] * 2):
            els_hears(store, fetch)
        els_hears(store, [spellcheck_result("b", "bad", attempt=2)])

        assert {essay_id: _status(store, essay_id) for essay_id in ESSAYS} == {
            "good": EssayStatus.SPELLCHECKED_SUCCESS,
            "bad": EssayStatus.ESSAY_CRITICAL_FAILURE,
            "missing": EssayStatus.CONTENT_INGESTION_FAILED,
        }
