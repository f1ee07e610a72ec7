"""Readiness and essay state, against the plainest model of what they should do."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from huleedu.core.enums import EssayStatus, RefusalReason
from huleedu.els.decide import (
    accepts_command,
    cancel,
    extend,
    overdue,
    proceed,
    register,
    settles,
    take,
    time_out,
)
from huleedu.els.model import (
    BatchView,
    Content,
    EssayView,
    PhaseView,
    ReadinessDecision,
    Registration,
    Text,
)
from tests.support.builders import AT

BATCH = "b"
ESSAYS = ("e1", "e2", "e3")
REGISTRATION = Registration(BATCH, ESSAYS)


def content(essay_id: str, storage_id: str = "s") -> Content:
    return Content(BATCH, essay_id, Text(storage_id))


def decide(view: BatchView, heard: Registration | Content) -> ReadinessDecision:
    return register(view, heard) if isinstance(heard, Registration) else take(view, [heard])


def said_by(heard: list[Registration | Content]) -> tuple[BatchView, list[ReadinessDecision]]:
    view, decisions = BatchView(batch_id=BATCH), []
    for one in heard:
        decision = decide(view, one)
        view = decision.view
        decisions.append(decision)
    return view, decisions


messages = st.one_of(
    st.just(REGISTRATION),
    st.builds(content, st.sampled_from([*ESSAYS, "stranger"]), st.sampled_from(["s", "t"])),
)


@given(
    st.permutations([REGISTRATION, *(content(essay) for essay in ESSAYS)]),
    st.lists(messages),
    st.lists(messages),
)
def test_a_batch_that_has_its_essays_is_announced_exactly_once(
    once_each: list[Registration | Content],
    before: list[Registration | Content],
    after: list[Registration | Content],
) -> None:
    """Whatever comes before, after and in which order."""
    view, decisions = said_by([*before, *once_each, *after])

    assert sum(decision.became_ready for decision in decisions) == 1
    assert view.ready
    assert set(view.slots) == set(ESSAYS)


@given(st.lists(messages))
def test_readiness_agrees_with_a_model_that_only_remembers_what_it_heard(
    heard: list[Registration | Content],
) -> None:
    """A slot holds the last text heard before the batch was complete."""
    known, texts, ready = False, dict[str, str](), False
    for one in heard:
        if isinstance(one, Registration):
            known = True
            texts = {essay: text for essay, text in texts.items() if essay in ESSAYS}
        elif not ready and (not known or one.essay_id in ESSAYS):
            texts[one.essay_id] = one.text.storage_id
        ready = ready or (known and set(texts) == set(ESSAYS))

    view, decisions = said_by(heard)

    assert (view.registered is not None, dict(view.slots), view.ready) == (known, texts, ready)
    assert sum(decision.became_ready for decision in decisions) == ready


@given(st.lists(messages))
def test_every_text_is_kept_or_refused_or_already_there(
    heard: list[Registration | Content],
) -> None:
    """No text disappears without a word."""
    view = BatchView(batch_id=BATCH)
    for one in heard:
        decision = decide(view, one)
        if isinstance(one, Content):
            kept = one.essay_id in decision.kept
            refused = [refusal.essay_id for refusal in decision.refused] == [one.essay_id]
            there = view.slots.get(one.essay_id) == one.text.storage_id
            assert [kept, refused, there].count(True) == 1
        view = decision.view


def test_a_text_for_a_ready_batch_is_refused_with_its_reason() -> None:
    """Other content after the batch is ready does not slip in."""
    view, _ = said_by([REGISTRATION, *(content(essay) for essay in ESSAYS)])

    decision = take(view, [content("e1", "other"), content("e9")])

    assert [refusal.reason for refusal in decision.refused] == [
        RefusalReason.BATCH_READY,
        RefusalReason.NOT_REGISTERED,
    ]
    assert decision.kept == {}


def test_an_early_text_of_another_essay_is_refused_when_the_registration_comes() -> None:
    """It is told, not silently dropped."""
    view, _ = said_by([content("stranger")])

    decision = register(view, REGISTRATION)

    assert [(r.essay_id, r.reason) for r in decision.refused] == [
        ("stranger", RefusalReason.NOT_REGISTERED)
    ]
    assert decision.dropped == ["stranger"]


@given(st.integers(0, 3), st.integers(1, 4))
def test_only_a_newer_attempt_opens_the_phase_again(current: int, commanded: int) -> None:
    """A repeated command changes nothing."""
    assert accepts_command(current, commanded) == (commanded > current)


@given(st.sampled_from(EssayStatus), st.integers(1, 3), st.sampled_from([None, 1, 2, 3]))
def test_a_result_counts_for_its_own_attempt_and_while_the_essay_waits(
    status: EssayStatus, attempt: int, result_attempt: int | None
) -> None:
    """One of another attempt changes nothing; one without an attempt means the current one."""
    waits = status in (EssayStatus.AWAITING_SPELLCHECK, EssayStatus.SPELLCHECKING_IN_PROGRESS)

    moved = settles(EssayView(status, attempt), EssayStatus.SPELLCHECKED_SUCCESS, result_attempt)

    assert moved == (waits and result_attempt in (None, attempt))


NOW = AT + timedelta(hours=1)
QUARTER = timedelta(minutes=15)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("phases", "given_up"),
    [
        ([PhaseView("a", ago(15), ago(15), waits=True)], ["a"]),
        ([PhaseView("a", ago(15), ago(14.99), waits=True)], []),
        ([PhaseView("a", ago(15), ago(15), waits=False)], []),
        # One behind a batch that moves, be it over or not, and one in front of it.
        ([PhaseView("a", ago(30), ago(1), True), PhaseView("b", ago(20), ago(20), True)], []),
        ([PhaseView("a", ago(30), ago(1), False), PhaseView("b", ago(20), ago(20), True)], []),
        ([PhaseView("a", ago(30), ago(30), True), PhaseView("b", ago(20), ago(1), True)], ["a"]),
        # Dispatched at the same moment, either may stand in front.
        ([PhaseView("a", ago(20), ago(20), True), PhaseView("b", ago(20), ago(1), True)], []),
    ],
)
def test_a_phase_is_given_up_when_nothing_in_front_of_it_moved(
    phases: list[PhaseView], given_up: list[str]
) -> None:
    """For a quarter of an hour; the batch itself stands in front of itself too."""
    assert overdue(phases, NOW, QUARTER) == given_up


def test_a_deadline_passes_at_its_moment_and_only_while_essays_are_waited_for() -> None:
    """A batch without registration is not waited for; one that is told is not told again."""
    view = BatchView(batch_id=BATCH, registered=frozenset(ESSAYS), deadline=NOW)

    late = time_out(view, NOW)

    assert late is not None
    assert (late.deadline, late.timed_out, late.ready) == (None, NOW, False)
    assert time_out(late, NOW) is None
    assert time_out(view, NOW - timedelta(microseconds=1)) is None
    for other in ({"registered": None}, {"ready": True}, {"cancelled": True}, {"deadline": None}):
        assert time_out(replace(view, **other), NOW) is None


def test_an_extension_is_skipped_where_it_changes_nothing() -> None:
    """With words that say why: ready, cancelled, set already, or passed already."""
    view = BatchView(batch_id=BATCH, deadline=NOW, timed_out=AT)

    assert extend(view, NOW + QUARTER).view.deadline == NOW + QUARTER
    assert extend(view, NOW - QUARTER).view.deadline == NOW - QUARTER
    assert extend(replace(view, ready=True), NOW + QUARTER).skipped == "the batch is ready already"
    assert extend(replace(view, cancelled=True), NOW + QUARTER).skipped == "the batch is cancelled"
    assert extend(view, NOW).skipped == "this is its deadline already"
    assert extend(view, AT).skipped == "a later deadline has passed already"


def test_a_batch_is_cancelled_whatever_it_is_and_once_only() -> None:
    """Also one that was closed without a single text: who says so knows that it is not over."""
    view = BatchView(batch_id=BATCH, registered=frozenset(ESSAYS), filled=1, ready=True)

    for any_view in (BatchView(batch_id=BATCH), view, replace(view, closed=True, filled=0)):
        decision = cancel(any_view)
        assert decision.view == replace(any_view, cancelled=True)
        assert cancel(decision.view).skipped
        assert cancel(decision.view).view == decision.view


def test_a_batch_that_proceeds_is_ready_and_closed_at_once() -> None:
    """Before its registration it is remembered, and once only."""
    view = BatchView(batch_id=BATCH)

    told = proceed(view)
    now = proceed(replace(view, registered=frozenset(ESSAYS)))

    assert (told.view, told.skipped) == (replace(view, proceeding=True), "")
    assert proceed(told.view).skipped == "it was told so before"
    assert (now.view.ready, now.view.closed, now.became_ready) == (True, True, True)
    assert proceed(now.view).skipped == "the batch is ready already"


def test_an_extension_goes_before_the_deadline_of_the_registration() -> None:
    """Though it came first."""
    registration = Registration(BATCH, ESSAYS, AT)
    plain = BatchView(batch_id=BATCH)

    assert register(plain, registration).view.deadline == AT
    assert register(replace(plain, deadline=NOW), registration).view.deadline == NOW
