"""What is old is forgotten, a slice at a time; what is not old is kept, whatever clocks say."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.clock import to_text
from huleedu.core.message import Message
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.store.handled import claim, handled_migrations
from huleedu.store.housekeeping import KEEP_HANDLED, chores_of, keep_house
from huleedu.store.outbox import outbox_migrations
from huleedu.store.purging import SLICE_ROWS, Purge
from tests.support.virtual_time import LoopClock, run_virtually, virtual_platform
from tests.transport.bus import raw

NOW = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)
KEEP = 30 * DAY
ROWS = Purge("aged", "name", "at")

ages = st.one_of(
    st.timedeltas(-4_000 * DAY, 4_000 * DAY),
    st.timedeltas(KEEP - timedelta(seconds=1), KEEP + timedelta(seconds=1)),
    st.sampled_from([timedelta(), KEEP, KEEP + timedelta(microseconds=1)]),
)


@contextmanager
def table(moments: Sequence[datetime | None]) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE aged (name INTEGER PRIMARY KEY, at TEXT)")
        connection.execute("CREATE INDEX aged_by_age ON aged (at)")
        connection.executemany(
            "INSERT INTO aged (at) VALUES (?)",
            [(None if moment is None else to_text(moment),) for moment in moments],
        )
        yield connection


@given(
    st.lists(st.none() | ages.map(lambda age: NOW - age), max_size=12),
    st.timedeltas(-4_000 * DAY, 4_000 * DAY),
    st.none() | ages.map(lambda age: NOW - age),
)
def test_what_is_old_by_the_clock_and_by_the_newest_row_goes(
    moments: list[datetime | None], wrong: timedelta, needed_since: datetime | None
) -> None:
    """All of it, and nothing else: not what is needed, or has no age, or is dated ahead."""
    now = NOW + wrong
    known = [moment for moment in moments if moment is not None]
    with table(moments) as connection:
        while ROWS(connection, now, KEEP, needed_since):
            pass
        left = [at for (at,) in connection.execute("SELECT at FROM aged ORDER BY name")]

    old = min([now, *([max(known)] if known else [])]) - KEEP
    if needed_since is not None:
        old = min(old, needed_since)
    kept = [moment for moment in moments if moment is None or moment >= old]
    assert left == [None if moment is None else to_text(moment) for moment in kept]


@pytest.mark.parametrize("ahead", [0, 1, SLICE_ROWS, 3 * SLICE_ROWS])
def test_rows_dated_ahead_stop_nothing_behind_them(ahead: int) -> None:
    """However many, and though they were written first; a slice is never larger than said."""
    old = 2 * SLICE_ROWS + 7
    moments = [NOW + 3_650 * DAY] * ahead + [NOW - 32 * DAY] * old + [NOW - DAY]
    with table(moments) as connection:
        purged = [ROWS(connection, NOW, KEEP) for _ in range(4)]

    assert purged == [SLICE_ROWS, SLICE_ROWS, 7, 0]


@given(st.permutations([*range(20)]), st.integers(0, 19))
def test_the_oldest_go_first(order: list[int], kept: int) -> None:
    """Whatever the order in which they were written."""
    moments = [NOW - timedelta(days=age + 40 * (age > kept)) for age in order]
    with table(moments) as connection:
        ROWS(connection, NOW, KEEP)
        left = {at for (at,) in connection.execute("SELECT at FROM aged")}

    assert left == {to_text(NOW - timedelta(days=age)) for age in range(kept + 1)}


class Clock(LoopClock):
    """A clock that is ahead for as long as it is told to be."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


class Stores:
    """Two stores of one program: what is said in the first is handled in the second."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.platform = replace(virtual_platform(), clock=self.clock)
        parts = (handled_migrations, outbox_migrations)
        self.speaks, self.hears = (
            Database(directory / f"{name}.db", parts, self.platform.hops)
            for name in ("speaks", "hears")
        )

    async def say(self, *messages: Message) -> None:
        at = self.clock.now()
        await self.speaks.write(lambda db: outbox.add(db, messages, at))

    async def handle(self, *event_ids: str) -> set[str]:
        """Return those of them that count."""
        at = self.clock.now()
        return await self.hears.write(lambda db: claim(db, "g", event_ids, at))

    async def keep_house_once(self) -> None:
        chores = chores_of([self.speaks, self.hears])
        with anyio.move_on_after(1):
            await keep_house(chores, self.platform)


Story = Callable[[Stores], Awaitable[None]]


@pytest.fixture
def story(tmp_path: Path) -> Callable[[Story], None]:
    async def tell(told: Story) -> None:
        stores = Stores(tmp_path)
        await stores.speaks.open()
        await stores.hears.open()
        try:
            await told(stores)
        finally:
            await stores.speaks.close()
            await stores.hears.close()

    return lambda told: run_virtually(tell, told)


@pytest.mark.parametrize("days", [31, 4_000])
def test_a_clock_that_is_ahead_makes_nothing_old(story: Callable[[Story], None], days: int) -> None:
    """What comes again after it is put right has no second effect."""

    async def told(stores: Stores) -> None:
        await stores.handle("a", "b")
        stores.clock.ahead = days * DAY
        await stores.keep_house_once()
        stores.clock.ahead = timedelta()

        assert await stores.handle("a", "b", "c") == {"c"}

    story(told)


@pytest.mark.parametrize("ahead", [timedelta(), 31 * DAY])
def test_what_may_come_again_is_known_however_old(
    story: Callable[[Story], None], ahead: timedelta
) -> None:
    """For as long as an event waits that one group has not handled, the others know it.

    Also where others were handled since then, by a clock that was right or ahead.
    """

    async def told(stores: Stores) -> None:
        await stores.handle("earlier")
        await anyio.sleep(1)
        message = raw("key", 1)
        await stores.say(message)
        await stores.handle(message.event_id)
        await anyio.sleep(2 * KEEP_HANDLED.total_seconds())
        stores.clock.ahead = ahead
        await stores.handle("later")
        await stores.keep_house_once()
        assert await stores.handle(message.event_id, "later") == set()
        assert await stores.handle("earlier") == {"earlier"}

        at = stores.clock.now()
        await stores.speaks.write(lambda db: outbox.mark_sent(db, [1], at))
        await stores.keep_house_once()
        assert await stores.handle(message.event_id, "later") == {message.event_id}

    story(told)
