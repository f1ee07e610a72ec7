"""What is requested of a cancelled batch is dropped; what is requested of any other never is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.errors import PeerUnavailable
from huleedu.core.platform import Platform
from huleedu.core.ports import Cancellations
from huleedu.core.settings import Limits
from huleedu.els import MIGRATIONS, LocalCancellations, RemoteCancellations, routes
from huleedu.els.handlers import EssayLifecycle
from huleedu.spellcheck.cancelled import (
    BATCHES_MAX,
    FRESH_SECONDS,
    PAUSE_SECONDS,
    CancelledBatches,
)
from huleedu.store.database import Database
from huleedu.web.application import build_application
from huleedu.web.peer import peer_http
from tests.spellcheck.dropping import DroppingConformance
from tests.support.builders import AT, hear, registered
from tests.support.http import NotedPauses, served
from tests.support.other_peers import OTHERS, answering
from tests.support.simulated import FakeClock
from tests.support.wishing import cancelled
from tests.transport.test_memory import MemoryBus

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bus(anyio_backend: str, tmp_path: Path) -> AsyncIterator[MemoryBus]:
    bus = MemoryBus(tmp_path)
    yield bus
    await bus.close()


class TestMemory(DroppingConformance):
    """The suite, bound to the memory bus."""


class Els:
    """Says which batches are cancelled, where it can be asked."""

    def __init__(self) -> None:
        self.cancelled: set[str] = set()
        self.is_away = False
        self.asked = 0

    async def is_cancelled(self, batch_id: str) -> bool:
        self.asked += 1
        if self.is_away:
            raise PeerUnavailable("ELS is away")
        return batch_id in self.cancelled


steps = st.lists(
    st.one_of(
        st.tuples(st.just("cancel"), st.sampled_from("ab")),
        st.tuples(st.just("pass"), st.sampled_from([0.1, FRESH_SECONDS, PAUSE_SECONDS])),
        st.tuples(st.just("away"), st.booleans()),
        st.tuples(st.just("ask"), st.sampled_from("abc")),
    ),
    max_size=30,
)


@given(steps)
def test_no_batch_is_taken_for_cancelled_that_is_not(
    taken: list[tuple[str, str | float | bool]],
) -> None:
    """Whatever ELS can be asked; one that is cancelled is known as such a second later."""

    async def told() -> None:
        clock, els = FakeClock(), Els()
        known = CancelledBatches(els, clock)
        for step in taken:
            match step:
                case "cancel", str(batch):
                    els.cancelled.add(batch)
                case "pass", float(seconds):
                    await clock.sleep(seconds)
                case "away", bool(is_away):
                    els.is_away = is_away
                case "ask", str(batch):
                    assert not await known.has(batch) or batch in els.cancelled
        els.is_away = False
        await clock.sleep(PAUSE_SECONDS)
        assert {batch for batch in "abc" if await known.has(batch)} == els.cancelled

    anyio.run(told)


async def test_a_large_class_costs_one_question_a_second() -> None:
    """None once it is cancelled, and one in a while where nobody answers."""
    clock, els = FakeClock(), Els()
    known = CancelledBatches(els, clock)
    for _ in range(100):
        assert not await known.has("a")
    assert els.asked == 1
    await clock.sleep(FRESH_SECONDS)
    els.is_away = True
    for _ in range(100):
        assert not await known.has("a")
    assert els.asked == 2
    els.is_away = False
    els.cancelled.add("a")
    await clock.sleep(PAUSE_SECONDS)
    for _ in range(100):
        assert await known.has("a")
        await clock.sleep(FRESH_SECONDS)
    assert els.asked == 3


async def test_only_so_many_batches_are_remembered() -> None:
    """The one that was asked of the longest ago is forgotten first, and asked of again."""
    els = Els()
    els.cancelled = {f"b{number}" for number in range(BATCHES_MAX + 1)}
    known = CancelledBatches(els, FakeClock())
    for number in range(BATCHES_MAX + 1):
        assert await known.has(f"b{number}")
    assert len(known._fresh_until) == BATCHES_MAX
    assert await known.has("b0")
    assert els.asked == BATCHES_MAX + 2


@asynccontextmanager
async def asked(directory: Path, way: str) -> AsyncIterator[Cancellations]:
    """An ELS that was told of two batches, one of which was cancelled."""
    platform = Platform()
    database = Database(directory / "els.db", MIGRATIONS, platform.hops)
    await database.open()
    heard = [hear(one) for one in (registered("a b", ["e"]), registered("c", ["e"]))]
    heard.append(hear(cancelled("a b")))
    await database.write(lambda db: EssayLifecycle().apply(db, heard, AT))
    if way == "here":
        yield LocalCancellations(database)
    else:
        application = build_application(routes(database), platform=platform, limits=Limits())
        async with served(application) as url, peer_http() as http:
            yield RemoteCancellations(http, platform, url=url)
    await database.close()


@pytest.mark.parametrize("way", ["here", "over HTTP"])
async def test_els_tells_which_batches_are_cancelled(tmp_path: Path, way: str) -> None:
    """Also of one that it does not know."""
    async with asked(tmp_path, way) as cancellations:
        known = {one: await cancellations.is_cancelled(one) for one in ("a b", "c", "other")}

    assert known == {"a b": True, "c": False, "other": False}


@pytest.mark.parametrize("answer", OTHERS.values(), ids=[*OTHERS])
async def test_nobody_elses_answer_cancels_a_batch(answer: bytes) -> None:
    """Be it a proxy's or another role's."""
    async with answering(answer) as url, peer_http() as http:
        cancellations = RemoteCancellations(http, Platform(clock=NotedPauses()), url=url)
        known = CancelledBatches(cancellations, FakeClock())

        assert not await known.has("b")
