"""Batches that nobody takes up are marked, in the API and in a metric."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client import REGISTRY

from huleedu.bos.handlers import apply
from huleedu.bos.stall_gauge import measure_stalled, watch_for_stalls
from huleedu.bos.stalls import Patience, Standing, stall_of
from huleedu.core.enums import BatchStatus
from huleedu.core.message import Message
from huleedu.core.settings import Settings
from tests.bos.building import (
    FAILED,
    Bos,
    essays_ready,
    phase_outcome,
    readiness_timeout,
    running_bos,
)
from tests.support.builders import AT, hear, spellcheck_result
from tests.support.simulated import FakeClock, simulated_platform

MINUTE = timedelta(minutes=1)
PATIENCE = Patience(readiness=15 * MINUTE, pipeline=30 * MINUTE)
DEADLINE = AT + timedelta(hours=1)
WAITING = BatchStatus.AWAITING_CONTENT_VALIDATION
RUNNING = BatchStatus.PROCESSING_PIPELINES
ESSAYS = ["essay-1", "essay-2", "essay-3"]


@pytest.mark.parametrize(
    ("standing", "since"),
    [
        (Standing(status=WAITING, deadline=DEADLINE), DEADLINE + 15 * MINUTE),
        (Standing(status=WAITING, deadline=DEADLINE, timed_out_at=DEADLINE), None),
        # ELS's clock may be a little behind.
        (Standing(status=WAITING, deadline=DEADLINE, timed_out_at=DEADLINE - MINUTE), None),
        # That was an earlier deadline's: nobody took the extension up.
        (
            Standing(status=WAITING, deadline=DEADLINE, timed_out_at=AT),
            DEADLINE + 15 * MINUTE,
        ),
        (
            Standing(
                status=WAITING, deadline=DEADLINE, timed_out_at=DEADLINE, proceed_requested_at=AT
            ),
            AT + 15 * MINUTE,
        ),
        (Standing(status=RUNNING, deadline=DEADLINE, dispatched_at=AT), AT + 30 * MINUTE),
        (
            Standing(status=RUNNING, deadline=DEADLINE, dispatched_at=AT, progressed_at=DEADLINE),
            DEADLINE + 30 * MINUTE,
        ),
        # One that was commanded before it goes on: it waits for its turn.
        (Standing(status=RUNNING, deadline=DEADLINE, dispatched_at=AT, others_since=AT), None),
        (
            Standing(status=RUNNING, deadline=DEADLINE, dispatched_at=AT, others_since=AT + MINUTE),
            AT + 30 * MINUTE,
        ),
        (Standing(status=BatchStatus.CANCELLED, deadline=DEADLINE), None),
        (Standing(status=BatchStatus.COMPLETED_SUCCESSFULLY, deadline=DEADLINE), None),
    ],
)
def test_silence_means_a_stall_only_where_something_was_due(
    standing: Standing, since: datetime | None
) -> None:
    """From the moment on at which patience ends, and not before."""
    if since is None:
        assert stall_of(standing, PATIENCE, AT + timedelta(days=365)) is None
        return
    before = stall_of(standing, PATIENCE, since - timedelta(microseconds=1))
    stall = stall_of(standing, PATIENCE, since)

    assert before is None
    assert stall is not None
    assert stall.since == since


class Watched:
    """A BOS with a clock of the test's."""

    def __init__(self, bos: Bos, clock: FakeClock) -> None:
        self.bos = bos
        self.clock = clock

    async def register(self, seconds: float | None = 3_600) -> str:
        answer = await self.bos.register(readiness_timeout_seconds=seconds)
        return str(answer.json()["batch_id"])

    async def hears(self, *messages: Message) -> None:
        now = self.clock.now()
        await self.bos.database.write(lambda db: apply(db, [hear(m) for m in messages], now))

    async def seen(self, batch_id: str) -> dict[str, Any]:
        view: dict[str, Any] = (await self.bos.client.get(f"/v1/batches/{batch_id}")).json()
        return view

    async def stalled(self, batch_id: str) -> bool:
        """As the batch itself, the list and the gauge tell it."""
        one = (await self.seen(batch_id))["stalled"]
        listed = (await self.bos.client.get("/v1/batches")).json()["batches"]
        assert [each["stalled"] for each in listed if each["batch_id"] == batch_id] == [one]
        count = await measure_stalled(self.bos.database, self.bos.platform, Settings())
        assert count == sum(each["stalled"] is not None for each in listed)
        assert REGISTRY.get_sample_value("huleedu_bos_batches_stalled") == count
        return one is not None


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    clock = FakeClock()
    async with running_bos(tmp_path, simulated_platform(clock=clock)) as bos:
        yield Watched(bos, clock)


@pytest.mark.anyio
async def test_a_batch_that_nobody_took_up_is_marked_and_can_still_be_acted_on(
    watched: Watched,
) -> None:
    """A quarter of an hour after its deadline; an extension gives it time again."""
    batch_id = await watched.register()
    assert not await watched.stalled(batch_id)
    watched.clock.moment += timedelta(hours=1, minutes=15)
    assert await watched.stalled(batch_id)

    deadline = (watched.clock.now() + timedelta(hours=1)).isoformat()
    extended = await watched.bos.client.post(
        f"/v1/batches/{batch_id}/extend", json={"deadline": deadline}
    )

    assert extended.status_code == 202
    assert not await watched.stalled(batch_id)
    watched.clock.moment += timedelta(hours=1, minutes=15)
    assert await watched.stalled(batch_id)
    cancelled = await watched.bos.client.post(f"/v1/batches/{batch_id}/cancel")
    assert cancelled.status_code == 202
    assert not await watched.stalled(batch_id)


@pytest.mark.anyio
async def test_without_a_deadline_of_its_own_a_batch_has_a_day(watched: Watched) -> None:
    """The contract's default."""
    batch_id = await watched.register(None)

    watched.clock.moment += timedelta(hours=24, minutes=14)
    assert not await watched.stalled(batch_id)
    watched.clock.moment += MINUTE
    assert await watched.stalled(batch_id)


@pytest.mark.anyio
async def test_a_batch_whose_deadline_passed_waits_for_its_teacher(watched: Watched) -> None:
    """It is told what is missing, stays open, and is not stalled."""
    batch_id = await watched.register()
    watched.clock.moment += timedelta(hours=1)
    timeout = readiness_timeout(batch_id, ESSAYS[1:], watched.clock.now())

    await watched.hears(timeout)
    watched.clock.moment += timedelta(days=2)

    view = await watched.seen(batch_id)
    assert view["status"] == "awaiting_content_validation"
    assert view["readiness"] == {
        "deadline": "2026-01-12T09:00:00.000000Z",
        "extensions": 0,
        "timed_out_at": "2026-01-12T09:00:00.000000Z",
        "proceed_requested_at": None,
        "ready_count": 1,
        "missing_count": 2,
        "missing_essay_ids": ESSAYS[1:],
    }
    assert not await watched.stalled(batch_id)


@pytest.mark.anyio
async def test_a_batch_that_went_on_tells_what_it_went_on_without(watched: Watched) -> None:
    """What is missing is then what the readiness does not name."""
    batch_id = await watched.register()
    await watched.bos.client.post(f"/v1/batches/{batch_id}/proceed")
    await watched.hears(essays_ready(batch_id, ESSAYS[:1]))

    readiness = (await watched.seen(batch_id))["readiness"]

    assert readiness["proceed_requested_at"] == "2026-01-12T08:00:00.000000Z"
    assert (readiness["ready_count"], readiness["missing_essay_ids"]) == (1, ESSAYS[1:])


@pytest.mark.anyio
async def test_a_check_is_stalled_only_when_none_before_it_goes_on(watched: Watched) -> None:
    """The second batch waits behind the first, until that stops too."""
    first, second = await watched.register(), await watched.register()
    await watched.hears(essays_ready(first, ESSAYS))
    watched.clock.moment += MINUTE
    await watched.hears(essays_ready(second, ESSAYS))
    for essay_id in ESSAYS[:2]:
        watched.clock.moment += 20 * MINUTE
        await watched.hears(spellcheck_result(first, essay_id))
        assert not await watched.stalled(second)
    watched.clock.moment += 30 * MINUTE
    assert await watched.stalled(first)
    assert await watched.stalled(second)

    await watched.hears(phase_outcome(first, FAILED, [], ESSAYS))

    assert not await watched.stalled(first)
    assert not await watched.stalled(second)


@pytest.mark.anyio
async def test_a_class_that_ended_under_a_wrong_clock_hides_no_stall(watched: Watched) -> None:
    """Its times lie years ahead, and say nothing about who goes on now."""
    first = await watched.register()
    await watched.hears(essays_ready(first, ESSAYS))
    watched.clock.moment += timedelta(days=3650)
    await watched.hears(phase_outcome(first, FAILED, [], ESSAYS))
    watched.clock.moment -= timedelta(days=3650)
    second = await watched.register()
    await watched.hears(essays_ready(second, ESSAYS))

    watched.clock.moment += 29 * MINUTE
    assert not await watched.stalled(second)
    watched.clock.moment += MINUTE
    assert await watched.stalled(second)


@pytest.mark.anyio
async def test_a_cancelled_batch_tells_by_whom_and_why(watched: Watched) -> None:
    """As it was said."""
    batch_id = await watched.register()
    assert (await watched.seen(batch_id))["cancellation"] is None
    body = {"reason": "the wrong class", "cancelled_by": "Eva"}
    await watched.bos.client.post(f"/v1/batches/{batch_id}/cancel", json=body)

    assert (await watched.seen(batch_id))["cancellation"] == {
        "cancelled_at": "2026-01-12T08:00:00.000000Z",
        **body,
    }


@pytest.mark.anyio
async def test_the_watch_measures_again_and_again(watched: Watched) -> None:
    """Once a minute, for as long as the process runs."""
    clock = watched.clock
    await watched.register()
    until = clock.now() + timedelta(hours=2)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch_for_stalls, watched.bos.database, watched.bos.platform, Settings())
        while clock.now() < until:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    assert REGISTRY.get_sample_value("huleedu_bos_batches_stalled") == 1
