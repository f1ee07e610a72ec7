"""The wall clock jumps by days, forth and back: every wait ends soon after it is right again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.clock import text_of
from huleedu.core.platform import Platform
from huleedu.core.settings import ElsSettings
from huleedu.els.clock_leaps import bring_back, is_anything_ahead
from huleedu.els.decide import LEAP_MIN, brought_back
from huleedu.els.model import BatchTimes
from huleedu.els.timekeeper import SLICE_BATCHES
from tests.els.test_store_agrees import els_tables
from tests.els.test_timekeeper import Els, dispatch
from tests.support.builders import AT, registered, spellcheck_result
from tests.support.virtual_time import LoopClock, run_virtually
from tests.support.wishing import extended

SETTINGS = ElsSettings(readiness_timeout_seconds=100.0, phase_timeout_seconds=150.0)
EXTENSION = timedelta(seconds=80)
BOUND_SECONDS = SETTINGS.phase_timeout_seconds + LEAP_MIN.total_seconds() + 5
"""After this long a clock that is right has ended every phase, and told every shorter deadline."""

Step = tuple[Any, ...]


class JumpingClock(LoopClock):
    """A wall clock that is wrong for as long as ``ahead`` says so."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


batches = st.sampled_from(["a", "b", "c", "d"])
leaps = st.one_of(
    st.sampled_from([timedelta(), timedelta(days=3650), timedelta(days=-3650)]),
    st.timedeltas(timedelta(days=-40), timedelta(days=40)),
    st.timedeltas(timedelta(seconds=-90), timedelta(seconds=90)),
)
steps = st.one_of(
    st.tuples(st.just("clock"), leaps),
    st.tuples(st.just("run"), st.sampled_from([1, 8, 70])),
    st.tuples(st.just("run"), st.sampled_from([8, 90, 160])),
    st.tuples(st.just("off"), st.sampled_from([1, 8, 70, 160])),
    st.tuples(st.just("wait"), batches),
    st.tuples(st.just("extend"), batches),
    st.tuples(st.just("check"), batches),
    st.tuples(st.just("answer"), batches, st.sampled_from(["e1", "e2"])),
)


class Wrong:
    """An ELS whose clock is set, and what it was told to wait for."""

    def __init__(self, path: Path) -> None:
        self.els = Els(path, SETTINGS)
        self.clock = JumpingClock()
        own = self.els.platform
        self.els.platform = Platform(self.clock, own.ids, own.random, own.hops)
        self.waiting: set[str] = set()
        self.checked: set[str] = set()

    async def take(self, step: Step) -> None:
        match step:
            case "clock", leap:
                self.clock.ahead = leap
            case "run", seconds:
                await self.els.runs(seconds)
            case "off", seconds:
                await self.clock.sleep(seconds)
            case "wait", batch:
                self.waiting.add(batch)
                await self.els.hears(registered(f"waiting-{batch}", ["e1"]))
            case "extend", batch:
                deadline = self.clock.now() + EXTENSION
                await self.els.hears(extended(f"waiting-{batch}", deadline))
            case "check", batch if batch not in self.checked:
                self.checked.add(batch)
                await dispatch(self.els, batch)
            case "answer", batch, essay if batch in self.checked:
                await self.els.hears(spellcheck_result(batch, essay))


@settings(max_examples=40)
@given(st.lists(steps, min_size=6, max_size=16))
def test_every_wait_ends_in_bounded_time_after_the_clock_is_right(taken: Sequence[Step]) -> None:
    """Each phase has its outcome and each deadline was told, whatever the clock did before."""

    async def told() -> None:
        with TemporaryDirectory() as directory:
            wrong = Wrong(Path(directory) / "els.db")
            await wrong.els.database.open()
            for step in taken:
                await wrong.take(step)
            wrong.clock.ahead = timedelta()
            await wrong.els.runs(BOUND_SECONDS)

            outcomes = [batch for batch, _, _ in await wrong.els.outcomes()]
            late = {batch for batch, _ in await wrong.els.late()}
            await wrong.els.database.close()

        assert sorted(outcomes) == sorted(wrong.checked)
        assert late == {f"waiting-{batch}" for batch in wrong.waiting}

    run_virtually(told)


@settings(max_examples=20)
@given(leaps, st.booleans())
def test_a_class_that_ended_under_a_wrong_clock_holds_nobody_up(
    leap: timedelta, stopped: bool
) -> None:
    """Only what is under way counts: a class that comes later is given up in the usual time."""

    async def told() -> None:
        with TemporaryDirectory() as directory:
            wrong = Wrong(Path(directory) / "els.db")
            await wrong.els.database.open()
            await wrong.take(("check", "a"))
            wrong.clock.ahead = leap
            for essay in ("e1", "e2"):
                await wrong.take(("answer", "a", essay))
            wrong.clock.ahead = timedelta()
            await wrong.take(("off" if stopped else "run", 100))
            await wrong.take(("check", "b"))
            await wrong.els.runs(BOUND_SECONDS)

            assert {batch for batch, _, _ in await wrong.els.outcomes()} == {"a", "b"}
            await wrong.els.database.close()

    run_virtually(told)


def test_a_deadline_that_was_told_by_a_wrong_clock_may_be_extended(tmp_path: Path) -> None:
    """What was told lies in the future then; the new deadline is told all the same."""

    async def told() -> None:
        wrong = Wrong(tmp_path / "els.db")
        await wrong.els.database.open()
        wrong.clock.ahead = timedelta(days=3650)
        await wrong.take(("wait", "a"))
        await wrong.els.runs(SETTINGS.readiness_timeout_seconds + 2)
        wrong.clock.ahead = timedelta()
        await wrong.els.runs(2)
        await wrong.take(("extend", "a"))
        await wrong.els.runs(EXTENSION.total_seconds() + 2)

        assert len(await wrong.els.late()) == 2
        await wrong.els.database.close()

    run_virtually(told)


def test_a_queue_is_not_given_up_because_the_clock_went_back(tmp_path: Path) -> None:
    """Though it is more than one transaction takes: each batch has its whole time again."""

    async def told() -> None:
        wrong = Wrong(tmp_path / "els.db")
        await wrong.els.database.open()
        wrong.clock.ahead = timedelta(days=3)
        batches = [f"b{number:03}" for number in range(2 * SLICE_BATCHES + 1)]
        for batch in batches:
            await dispatch(wrong.els, batch)
        await wrong.els.runs(30)
        wrong.clock.ahead = timedelta()
        await wrong.els.runs(SETTINGS.phase_timeout_seconds - 30)
        assert await wrong.els.outcomes() == []
        await wrong.els.runs(40)

        assert sorted(batch for batch, _, _ in await wrong.els.outcomes()) == batches
        await wrong.els.database.close()

    run_virtually(told)


moments = st.none() | st.one_of(
    st.timedeltas(timedelta(days=-4000), timedelta(days=4000)),
    st.timedeltas(timedelta(seconds=-90), timedelta(seconds=90)),
).map(lambda away: AT + away)
times = st.builds(
    BatchTimes,
    registered=moments,
    deadline=moments,
    deadline_from=moments,
    timed_out=moments,
    dispatched=moments,
    progressed=moments,
)


@given(times)
def test_what_is_brought_back_lies_ahead_no_more(one: BatchTimes) -> None:
    """A deadline keeps its distance from when it was set; what is not ahead stays."""
    after = brought_back(one, AT)

    assert brought_back(after, AT) == after
    for name in ("registered", "deadline_from", "timed_out", "dispatched", "progressed"):
        before, now = getattr(one, name), getattr(after, name)
        assert now == (AT if before is not None and before > AT + LEAP_MIN else before)
    since, set_at = one.deadline_from or one.registered, after.deadline_from or after.registered
    if since is None or one.deadline is None:
        assert after.deadline == one.deadline
    else:
        assert set_at is not None
        assert after.deadline is not None
        assert after.deadline - set_at == one.deadline - since


@given(st.lists(times, max_size=8), st.integers(1, 3))
def test_the_store_brings_back_what_the_rule_says(
    batches: Sequence[BatchTimes], count: int
) -> None:
    """In slices, and of every batch that waits by a time that is ahead."""
    with els_tables() as connection:
        for number, one in enumerate(batches):
            connection.execute(
                "INSERT INTO batch (batch_id, registered_at, deadline_at, deadline_from, timed_out,"
                " dispatched_at, progressed_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (str(number), *_row(one)),
            )
        while is_anything_ahead(connection, AT):
            bring_back(connection, AT, count)
        kept = connection.execute(
            "SELECT registered_at, deadline_at, deadline_from, timed_out, dispatched_at,"
            " progressed_at FROM batch ORDER BY batch_number"
        ).fetchall()

    assert kept == [_row(brought_back(one, AT)) for one in batches]


def _row(times: BatchTimes) -> tuple[str | None, ...]:
    return (
        text_of(times.registered),
        text_of(times.deadline),
        text_of(times.deadline_from),
        text_of(times.timed_out),
        text_of(times.dispatched),
        text_of(times.progressed),
    )
