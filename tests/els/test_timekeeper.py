"""Deadlines that pass by themselves, on a clock whose hours take milliseconds."""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from huleedu.core.enums import ProcessingEvent
from huleedu.core.message import Message
from huleedu.core.messages import BatchReadinessTimeout, ELSBatchPhaseOutcomeV1
from huleedu.core.settings import ElsSettings
from huleedu.core.topics import topic_name
from huleedu.els import MIGRATIONS, keep_deadlines
from huleedu.els.handlers import EssayLifecycle
from huleedu.store import outbox
from huleedu.store.database import Database
from tests.support.builders import (
    content_ready,
    hear,
    registered,
    spellcheck_command,
    spellcheck_result,
)
from tests.support.virtual_time import LoopClock, run_virtually, virtual_platform
from tests.support.wishing import cancelled, extended, waiting

TIMED_OUT = topic_name(ProcessingEvent.BATCH_READINESS_TIMEOUT)
OUTCOME = topic_name(ProcessingEvent.BATCH_PHASE_CONCLUDED)
START = LoopClock.START
SETTINGS = ElsSettings(readiness_timeout_seconds=300.0)


class Els:
    """A store of ELS, and els-workers that keep its deadlines for as long as they are up."""

    def __init__(self, path: Path, settings: ElsSettings = SETTINGS) -> None:
        self.path = path
        self.settings = settings
        self.platform = virtual_platform()
        self.database = self.another()
        self.hears_results = True

    def another(self) -> Database:
        return Database(self.path, MIGRATIONS, self.platform.hops)

    async def hears(self, *messages: Message) -> None:
        heard = [hear(message) for message in messages]
        now = self.platform.clock.now()

        def work(connection: sqlite3.Connection) -> None:
            timeout = timedelta(seconds=self.settings.readiness_timeout_seconds)
            said = EssayLifecycle(readiness_timeout=timeout).apply(connection, heard, now)
            outbox.add(connection, said, now)

        await self.database.write(work)

    async def runs(self, seconds: float, workers: int = 1) -> None:
        """Be up for so long, in several processes that share the store."""
        stores = [self.another() for _ in range(workers)]
        async with anyio.create_task_group() as tasks:
            for store in stores:
                await store.open()
                tasks.start_soon(
                    keep_deadlines, store, self.platform, self.settings, lambda: self.hears_results
                )
            await anyio.sleep(seconds)
            tasks.cancel_scope.cancel()
        for store in stores:
            await store.close()

    async def said(self, topic: str) -> Sequence[Message]:
        rows = await self.database.read(lambda db: outbox.unsent(db, topic, 0, 10_000))
        return [row.message for row in rows]

    async def late(self) -> list[tuple[str, float]]:
        """Return the batches that were said to be late, and when after the start (in s)."""
        found = []
        for message in await self.said(TIMED_OUT):
            heard = hear(message)
            assert isinstance(heard.data, BatchReadinessTimeout)
            at = heard.envelope.event_timestamp - START
            found.append((heard.batch_id, at.total_seconds()))
        return found

    async def outcomes(self) -> list[tuple[str, tuple[str, ...], float]]:
        """Return each outcome: its batch, the failed essays, and when after the start (in s)."""
        found = []
        for message in await self.said(OUTCOME):
            heard = hear(message)
            assert isinstance(heard.data, ELSBatchPhaseOutcomeV1)
            at = (heard.envelope.event_timestamp - START).total_seconds()
            found.append((heard.batch_id, tuple(heard.data.failed_essay_ids), at))
        return found


@pytest.fixture
def story(tmp_path: Path) -> Callable[[Callable[[Els], Awaitable[None]]], None]:
    """Tell a story about an ELS, in virtual time."""

    async def tell(told: Callable[[Els], Awaitable[None]]) -> None:
        els = Els(tmp_path / "els.db")
        await els.database.open()
        try:
            await told(els)
        finally:
            await els.database.close()

    return lambda told: run_virtually(tell, told)


Story = Callable[[Callable[[Els], Awaitable[None]]], None]


def test_a_deadline_passes_on_time_and_once_whoever_looks(story: Story) -> None:
    """Three els-workers share the store; at most a second late."""

    async def told(els: Els) -> None:
        await els.hears(waiting("a", ["e1"], "90.5"), waiting("b", ["e1"], "20"))
        await els.hears(registered("c", ["e1"]), extended("b", START + timedelta(seconds=30)))

        await els.runs(400, workers=3)

        late = dict(await els.late())
        assert sorted(batch for batch, _ in await els.late()) == ["a", "b", "c"]
        assert 90.5 <= late["a"] <= 91.5
        assert 30 <= late["b"] <= 31
        assert 300 <= late["c"] <= 301

    story(told)


def test_a_deadline_that_is_set_meanwhile_passes_on_time(story: Story) -> None:
    """Though another process heard of it."""

    async def told(els: Els) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(els.runs, 60)
            await anyio.sleep(10.3)
            await els.hears(waiting("a", ["e1"], "5"))

        ((batch, late),) = await els.late()
        assert batch == "a"
        assert 15.3 <= late <= 16.3

    story(told)


def test_deadlines_that_passed_while_els_was_down_pass_at_its_start(story: Story) -> None:
    """Each once, however often it is restarted; more than one transaction takes."""

    async def told(els: Els) -> None:
        batches = [f"b{number}" for number in range(120)]
        await els.hears(*(waiting(batch, ["e1"], "60") for batch in batches))
        await anyio.sleep(86_400)

        for _ in range(3):
            await els.runs(2, workers=2)

        assert sorted(await els.late()) == sorted((batch, 86_400.0) for batch in batches)

    story(told)


def test_a_phase_ends_when_nothing_moved_for_a_quarter_of_an_hour(story: Story) -> None:
    """What is left has failed; the outcome is said once, and late results change nothing."""

    async def told(els: Els) -> None:
        texts = {"e1": "t1", "e2": "t2"}
        await els.hears(registered("a", list(texts)))
        await els.hears(*(content_ready("a", essay, text) for essay, text in texts.items()))
        await els.hears(spellcheck_command("a", texts))
        await anyio.sleep(600)
        await els.hears(spellcheck_result("a", "e1"))

        await els.runs(1_000, workers=2)
        await els.hears(spellcheck_result("a", "e2"))

        ((batch, failed, at),) = await els.outcomes()
        assert (batch, failed) == ("a", ("e2",))
        assert 1_500 <= at <= 1_501

    story(told)


async def dispatch(els: Els, batch: str) -> None:
    await els.hears(registered(batch, ["e1", "e2"]))
    await els.hears(*(content_ready(batch, essay, "t") for essay in ("e1", "e2")))
    await els.hears(spellcheck_command(batch, {"e1": "t", "e2": "t"}))


@pytest.mark.parametrize("stopped", [False, True])
def test_a_batch_in_a_queue_that_moves_is_not_given_up(story: Story, stopped: bool) -> None:
    """It waits behind another, be that one cancelled: its essays are checked all the same."""

    async def told(els: Els) -> None:
        await dispatch(els, "first")
        await anyio.sleep(1)
        await dispatch(els, "second")
        if stopped:
            await els.hears(cancelled("first"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(els.runs, 2_600)
            await anyio.sleep(800)
            await els.hears(spellcheck_result("first", "e1"))
            await anyio.sleep(800)
            await els.hears(spellcheck_result("first", "e2"))

        outcomes = {batch: (failed, at) for batch, failed, at in await els.outcomes()}
        assert set(outcomes) == ({"second"} if stopped else {"first", "second"})
        failed, at = outcomes["second"]
        assert failed == ("e1", "e2")
        assert 1_601 + 900 <= at <= 1_601 + 901 + 1

    story(told)


@pytest.mark.parametrize("cause", ["ELS is down", "the broker is away"])
def test_a_phase_does_not_stand_still_while_nobody_listens(story: Story, cause: str) -> None:
    """The answers may be there, waiting to be heard: it counts anew from then on."""

    async def told(els: Els) -> None:
        await dispatch(els, "a")
        await els.runs(100)
        if cause == "ELS is down":
            await anyio.sleep(3_600)
        else:
            els.hears_results = False
            await els.runs(3_600)
            els.hears_results = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(els.runs, 2_000)
            await anyio.sleep(600)
            assert await els.outcomes() == []
            await els.hears(spellcheck_result("a", "e1"))

        ((batch, failed, at),) = await els.outcomes()
        assert (batch, failed) == ("a", ("e2",))
        assert 4_300 + 900 <= at <= 4_300 + 901

    story(told)


def test_short_restarts_do_not_put_the_end_of_a_phase_off(story: Story) -> None:
    """Its deadline is in the store."""

    async def told(els: Els) -> None:
        await dispatch(els, "a")
        for _ in range(4):
            await els.runs(250)
            await anyio.sleep(30)

        ((_, _, at),) = await els.outcomes()
        assert 900 <= at <= 901

    story(told)


def test_a_batch_that_stands_still_is_given_up_though_a_later_one_moves(story: Story) -> None:
    """What was dispatched after it is no excuse."""

    async def told(els: Els) -> None:
        await dispatch(els, "first")
        await anyio.sleep(1)
        await dispatch(els, "second")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(els.runs, 1_000)
            await anyio.sleep(800)
            await els.hears(spellcheck_result("second", "e1"))

        ((batch, failed, at),) = await els.outcomes()
        assert (batch, failed) == ("first", ("e1", "e2"))
        assert 900 <= at <= 901

    story(told)


@pytest.mark.parametrize("repeated", ["first", "second"])
@pytest.mark.parametrize("attempt", [1, None])
def test_an_answer_that_comes_again_and_again_puts_nothing_off(
    story: Story, repeated: str, attempt: int | None
) -> None:
    """An essay that nobody answers fails at its deadline: each answer is progress once."""

    async def told(els: Els) -> None:
        await dispatch(els, "first")
        await anyio.sleep(1)
        await dispatch(els, "second")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(els.runs, 2_000)
            for _ in range(16):
                await anyio.sleep(100)
                await els.hears(spellcheck_result(repeated, "e1", attempt=attempt))

        outcomes = {batch: at for batch, _, at in await els.outcomes()}
        assert set(outcomes) == {"first", "second"}
        assert max(outcomes.values()) <= 100 + 900 + 2

    story(told)


def test_late_answers_show_that_the_checkers_go_on(story: Story) -> None:
    """Those of a batch that was given up, too: what waits behind it is not given up with it."""

    async def told(els: Els) -> None:
        await dispatch(els, "first")
        await els.runs(902)
        await dispatch(els, "second")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(els.runs, 2_600)
            for essay in ("e1", "e2"):
                await anyio.sleep(800)
                await els.hears(spellcheck_result("first", essay))

        outcomes = {batch: at for batch, _, at in await els.outcomes()}
        assert 900 <= outcomes["first"] <= 902
        assert 902 + 1_600 + 900 <= outcomes["second"] <= 902 + 1_600 + 902

    story(told)


def test_batches_dispatched_at_the_same_moment_stand_in_one_queue(story: Story) -> None:
    """Which of them is in front is not known: where one moves, none is given up."""

    async def told(els: Els) -> None:
        await dispatch(els, "first")
        await dispatch(els, "second")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(els.runs, 1_500)
            await anyio.sleep(800)
            await els.hears(spellcheck_result("second", "e1"))

        assert await els.outcomes() == []

    story(told)


def test_a_store_that_cannot_be_used_postpones_deadlines(tmp_path: Path) -> None:
    """They pass when it can be again."""

    async def told() -> None:
        platform = virtual_platform()
        els = Els(tmp_path / "els.db")
        await els.database.open()
        await els.hears(waiting("a", ["e1"], "60"))
        away = tmp_path / "away.db"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_deadlines, els.database, platform, SETTINGS)
            await anyio.sleep(10)
            els.path.rename(away)
            await anyio.sleep(100)
            away.rename(els.path)
            await anyio.sleep(2)
            tasks.cancel_scope.cancel()

        ((batch, at),) = await els.late()
        assert batch == "a"
        assert 110 <= at <= 112
        await els.database.close()

    run_virtually(told)
