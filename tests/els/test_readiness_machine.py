"""Readiness under registrations, texts, wishes and time, in any order and repetition."""

from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from huleedu.core.enums import RefusalReason
from huleedu.els.decide import cancel, extend, proceed, register, take, time_out
from huleedu.els.model import BatchView, Content, ReadinessDecision, Registration, Text
from tests.support.builders import AT

ESSAYS = ("e1", "e2", "e3")
HOUR = timedelta(hours=1)


class Readiness(RuleBasedStateMachine):
    """One batch, with what was announced about it and what a teacher was promised."""

    def __init__(self) -> None:
        super().__init__()
        self.view = BatchView(batch_id="b")
        self.now = AT
        self.announced = 0
        self.told: list[datetime] = []
        self.texts: dict[str, str] = {}

    def follow(self, decision: ReadinessDecision) -> ReadinessDecision:
        self.announced += decision.became_ready
        if decision.skipped:
            assert decision.view == self.view
            assert not decision.became_ready
        self.view = decision.view
        return decision

    @rule(hours=st.integers(1, 5))
    def it_is_registered(self, hours: int) -> None:
        before = self.view
        decision = self.follow(register(before, Registration("b", ESSAYS, AT + hours * HOUR)))
        if before.registered is not None:
            assert self.view == before
        else:
            self.texts = {one: text for one, text in self.texts.items() if one in ESSAYS}
            assert self.view.deadline == before.deadline or before.deadline is None
            assert {one.essay_id for one in decision.refused} == set(decision.dropped)
            assert all(one.reason is RefusalReason.NOT_REGISTERED for one in decision.refused)

    @rule(
        essays=st.lists(
            st.tuples(st.sampled_from([*ESSAYS, "stranger"]), st.sampled_from("st")), max_size=4
        )
    )
    def texts_come(self, essays: list[tuple[str, str]]) -> None:
        before = dict(self.texts)
        contents = [Content("b", essay, Text(storage)) for essay, storage in essays]
        decision = self.follow(take(self.view, contents))
        self.texts |= {essay: text.storage_id for essay, text in decision.kept.items()}
        refused = {(one.essay_id, one.storage_id) for one in decision.refused}
        for essay, storage in essays:
            # Nothing is lost in silence: a text is kept, refused, replaced or there already.
            last = [text for one, text in essays if one == essay][-1]
            held = {before.get(essay), self.texts.get(essay)}
            assert storage in held or (essay, storage) in refused or storage != last
            assert (essay, storage) not in refused or before.get(essay) != storage

    @rule(hours=st.integers(1, 9))
    def it_is_extended(self, hours: int) -> None:
        before = self.view
        decision = self.follow(extend(before, AT + hours * HOUR))
        if not decision.skipped:
            assert not before.ready
            assert not before.cancelled
            assert self.view.deadline == AT + hours * HOUR
            assert before.timed_out is None or self.view.deadline > before.timed_out
        elif not (before.ready or before.cancelled):
            known = {before.deadline, before.timed_out} - {None}
            assert any(AT + hours * HOUR <= moment for moment in known if moment)

    @rule()
    def it_is_told_to_proceed(self) -> None:
        before = self.view
        decision = self.follow(proceed(before))
        settled = before.ready or before.cancelled
        if before.registered is None:
            assert self.view.proceeding or settled
            assert bool(decision.skipped) == (settled or before.proceeding)
        else:
            assert decision.became_ready == (not settled)
            assert self.view.ready == (before.ready or not settled)
            assert self.view.closed == (before.closed or not settled)

    # Seldom, since little happens afterwards.
    @precondition(lambda self: self.now > AT + 3 * HOUR)
    @rule()
    def it_is_cancelled(self) -> None:
        before = self.view
        decision = self.follow(cancel(before))
        assert bool(decision.skipped) == before.cancelled
        assert self.view.cancelled

    @rule(hours=st.integers(0, 3))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR
        before = self.view
        passed = time_out(before, self.now)
        due = before.deadline is not None and before.deadline <= self.now
        waits = before.registered is not None and not before.ready and not before.cancelled
        assert (passed is not None) == (due and waits)
        if passed is not None:
            assert passed.timed_out == before.deadline
            assert time_out(passed, self.now) is None
            self.told.append(passed.timed_out or AT)
            self.view = passed

    @invariant()
    def it_is_announced_once_and_no_sooner_than_it_is_ready(self) -> None:
        assert self.announced == int(self.view.ready)

    @invariant()
    def a_ready_batch_has_every_essay_or_was_closed(self) -> None:
        if self.view.registered is None:
            assert not self.view.ready
            assert self.view.filled == 0
        else:
            assert self.view.filled == len(self.texts) == len(self.view.slots)
            complete = self.view.filled == len(ESSAYS)
            assert self.view.ready == (complete or self.view.closed) or self.view.cancelled
            assert not (complete and self.view.closed)

    @invariant()
    def the_texts_are_those_that_were_kept(self) -> None:
        assert self.view.slots == self.texts

    @invariant()
    def each_deadline_is_told_once_and_later_than_the_one_before(self) -> None:
        assert self.told == sorted(set(self.told))


Readiness.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestReadiness = Readiness.TestCase
