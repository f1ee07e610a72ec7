"""Batches under any messages in any order: the store agrees with the pure rules."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.enums import EssayStatus
from huleedu.core.essay_state import StateTransitionValidator
from huleedu.core.message import Message
from huleedu.core.messages import (
    BatchEssaysReady,
    BatchReadinessTimeout,
    ELSBatchPhaseOutcomeV1,
    EssayContentRefused,
    EssayLifecycleSpellcheckRequestV1,
)
from huleedu.els import speech
from huleedu.els.deadlines import Deadlines, next_deadline, overdue_phases
from huleedu.els.handlers import EssayLifecycle
from huleedu.els.views import batch_status, essay_status
from tests.els.lives import ESSAYS, PHASE, READINESS, STRANGER, Lives, Said
from tests.els.test_store_agrees import els_tables
from tests.support.builders import (
    AT,
    content_ready,
    hear,
    registered,
    spellcheck_command,
    spellcheck_result,
)
from tests.support.wishing import cancelled, extended, proceed

# As a fetch is taken: what opens batches, what stops them, texts, what closes them, phases.
ORDER = ("register", "cancel", "extend", "content", "proceed", "command", "result")
Step = tuple[Any, ...]

batches = st.sampled_from(list(ESSAYS))
essays = st.sampled_from(["e1", "e2", "e3", STRANGER])
attempts = st.sampled_from([1, 1, 2, 3])
steps = st.one_of(
    st.tuples(st.just("register"), batches),
    st.tuples(st.just("content"), batches, essays, st.sampled_from("st")),
    st.tuples(st.just("extend"), batches, st.integers(-60, 300)),
    st.tuples(st.just("proceed"), batches),
    st.tuples(st.just("cancel"), batches),
    st.tuples(st.just("command"), batches, attempts),
    st.tuples(st.just("result"), batches, essays, st.booleans(), st.none() | attempts),
)
ticks = st.tuples(st.just("tick"), st.sampled_from([1, 7, 8, 16, 60, 240]))


def plan(batch: str) -> list[Step]:
    """Return what a batch hears that goes well, after one essay failed at first."""
    essays = ESSAYS[batch]
    return [
        ("register", batch),
        *(("content", batch, essay, "s") for essay in essays),
        ("command", batch, 1),
        *(("result", batch, essay, n > 0, 1) for n, essay in enumerate(essays)),
        ("command", batch, 2),
        ("result", batch, essays[0], True, 2),
    ]


@st.composite
def stories(draw: st.DrawFn) -> list[list[Step]]:
    """Plans of several batches beside one another, with messages lost, repeated and between."""
    plans = {batch: plan(batch) for batch in ESSAYS}
    turns = draw(st.permutations([batch for batch in ESSAYS for _ in plans[batch]]))
    heard: list[list[Step]] = [[]]
    for batch in turns:
        step = plans[batch].pop(0)
        match draw(st.integers(0, 11)):
            case 0:
                continue
            case 1:
                heard[-1] += [step, step]
            case 2:
                plans[batch].insert(draw(st.integers(0, 2)), step)
            case 3 | 4:
                heard[-1] += [draw(steps), step]
            case 5:
                heard += [[draw(ticks)], [step]]
            case 6 | 7:
                heard[-1].append(step)
            case _:
                heard.append([step])
    return [fetch for fetch in heard if fetch]


fetches = st.lists(
    st.one_of(st.lists(steps, min_size=1, max_size=6), ticks.map(lambda tick: [tick])), max_size=16
)
lives = st.one_of(stories(), stories(), stories(), fetches)


class Store:
    """ELS on its store, at a moment that the test sets."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._els = EssayLifecycle(readiness_timeout=READINESS)
        self.messages: list[Message] = []
        """All that was said, as it is published."""

    def hears(self, messages: Sequence[Message], now: datetime) -> list[Said]:
        heard = [hear(message) for message in messages]
        return self._facts(self._els.apply(self._connection, heard, now))

    def _facts(self, messages: Sequence[Message]) -> list[Said]:
        self.messages += messages
        return [fact(message) for message in messages]

    def tick(self, now: datetime) -> list[Said]:
        """Let pass what is due, one batch at a time."""
        said: list[Said] = []
        deadlines = Deadlines(self._connection, now)
        while (due := next_deadline(self._connection)) is not None and due <= now:
            late = deadlines.pass_readiness(1)
            for timeout in late:
                said += self._facts(speech.batch_readiness_timeout(timeout, None, now))
        while overdue_phases(self._connection, now, PHASE, 1):
            over = deadlines.pass_phases(PHASE, 1)
            for conclusion in over:
                said += self._facts(speech.phase_concluded(conclusion, None, now))
        return said

    def statuses(self, batch: str) -> dict[str, EssayStatus]:
        return {
            essay: EssayStatus(essay_status(self._connection, essay, batch)["current_status"])
            for essay in ESSAYS[batch]
        }

    def breakdown(self, batch: str) -> dict[str, int]:
        answer = batch_status(self._connection, batch)["status_breakdown"]
        assert isinstance(answer, dict)
        return answer


def fact(message: Message) -> Said:
    """Return what an event says, in short."""
    heard = hear(message)
    match heard.data:
        case BatchEssaysReady() as data:
            assert data.total_count == len(data.ready_essay_ids)
            return ("ready", heard.batch_id, tuple(data.ready_essay_ids))
        case EssayContentRefused() as data:
            return ("refused", heard.batch_id, data.essay_id, data.reason.value)
        case EssayLifecycleSpellcheckRequestV1() as data:
            return ("requested", heard.batch_id, data.essay_id, heard.attempt)
        case BatchReadinessTimeout() as data:
            assert data.actual_count + len(data.missing_essay_ids) == data.expected_count
            return ("timed out", heard.batch_id, heard.envelope.event_id,
                    tuple(data.ready_essay_ids))  # fmt: skip
        case ELSBatchPhaseOutcomeV1() as data:
            good = tuple(essay.essay_id for essay in data.processed_essays)
            return ("outcome", heard.batch_id, heard.attempt, good, tuple(data.failed_essay_ids))
        case other:
            raise AssertionError(other)


class Both:
    """The store and the rules, told the same; every step compares what they say."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.now = AT
        self.rules = Lives()
        self.store = Store(connection)
        self.said: list[Said] = []
        self._seen: dict[str, dict[str, EssayStatus]] = {}

    def hear(self, fetch: Sequence[Step]) -> None:
        self.now += timedelta(seconds=1)
        if fetch[0][0] == "tick":
            self.now += timedelta(minutes=fetch[0][1])
            ruled, stored = self.rules.tick(self.now), self.store.tick(self.now)
        else:
            ruled, messages = [], []
            for step in sorted(fetch, key=lambda one: ORDER.index(one[0])):
                taken = self._take(step)
                if taken is not None:
                    ruled += taken[0]
                    messages.append(taken[1])
            stored = self.store.hears(messages, self.now)
        assert sorted(map(repr, ruled)) == sorted(map(repr, stored))
        self.said += stored
        self._compare()

    def _take(self, step: Step) -> tuple[list[Said], Message] | None:  # noqa: PLR0911
        """Return what the rules say to a step and its message; None: it would be rejected."""
        kind, batch, *rest = step
        life = self.rules.of[batch]
        match kind, rest:
            case "register", []:
                return self.rules.register(batch, self.now), registered(batch, ESSAYS[batch])
            case "content", [essay, text]:
                said = self.rules.content(batch, essay, text)
                return said, content_ready(batch, essay, text)
            case "extend", [minutes]:
                deadline = AT + timedelta(minutes=minutes)
                return self.rules.extend(batch, deadline), extended(batch, deadline)
            case "proceed", []:
                return self.rules.proceed(batch), proceed(batch)
            case "cancel", []:
                return self.rules.cancel(batch), cancelled(batch)
            case "command", [attempt]:
                if not (life.view.ready or life.view.cancelled):
                    return None
                texts = dict.fromkeys(ESSAYS[batch], "text")
                said = self.rules.command(batch, attempt, self.now)
                return said, spellcheck_command(batch, texts, attempt)
            case "result", [essay, success, attempt]:
                if essay not in life.essays:
                    return None
                status = EssayStatus.SPELLCHECKED_SUCCESS
                status = status if success else EssayStatus.SPELLCHECK_FAILED
                said = self.rules.result(batch, essay, status, attempt, self.now)
                return said, spellcheck_result(batch, essay, success=success, attempt=attempt)
        raise AssertionError(step)

    def _compare(self) -> None:
        for batch, life in self.rules.of.items():
            if life.view.registered is None:
                continue
            statuses = self.store.statuses(batch)
            assert statuses == {essay: life.status(essay) for essay in ESSAYS[batch]}
            counted = self.store.breakdown(batch)
            assert counted == {s: list(statuses.values()).count(s) for s in statuses.values()}
            before = self._seen.get(batch, dict.fromkeys(ESSAYS[batch], EssayStatus.UPLOADED))
            assert all(leads(before[essay], statuses[essay]) for essay in statuses)
            self._seen[batch] = statuses


def leads(start: EssayStatus, end: EssayStatus) -> bool:
    """Tell whether legal moves lead from one status to another."""
    reached, fresh = {start}, {start}
    while fresh:
        fresh = {
            target
            for status in fresh
            for target in EssayStatus
            if StateTransitionValidator.is_legal(status, target)
        } - reached
        reached |= fresh
    return end in reached


def told(said: Sequence[Said], kind: str) -> list[Said]:
    """Return what tells the events of a kind apart: batch, and attempt or deadline."""
    return [fact[1:2] if kind == "ready" else fact[1:3] for fact in said if fact[0] == kind]


@settings(max_examples=150)
@given(lives)
def test_batches_in_the_store_live_as_the_rules_say(heard: list[list[Step]]) -> None:
    """One BatchEssaysReady a batch, one timeout a deadline, one outcome an attempt.

    Under every order, repetition and grouping of messages, with time passing in between.
    """
    with els_tables() as connection:
        both = Both(connection)
        for fetch in heard:
            both.hear(fetch)

    for kind in ("ready", "timed out", "outcome"):
        assert len(set(told(both.said, kind))) == len(told(both.said, kind))


LATE = [[("tick", 240)], [("tick", 240)]]


@settings(max_examples=50)
@given(lives, st.permutations(list(ESSAYS)))
def test_in_the_end_nobody_waits(heard: list[list[Step]], last: list[str]) -> None:
    """A batch that is told to proceed and is not cancelled is ready; a phase ends by itself."""
    with els_tables() as connection:
        both = Both(connection)
        for fetch in heard:
            both.hear(fetch)
        for batch in last:
            both.hear([("register", batch)])
            both.hear([("proceed", batch)])
        for fetch in LATE:
            both.hear(fetch)

    for batch, life in both.rules.of.items():
        assert (("ready", batch) in [fact[:2] for fact in both.said]) or life.view.cancelled
        assert life.waiting == []
        if life.attempt and not life.view.cancelled:
            assert (batch, life.attempt) in told(both.said, "outcome")
