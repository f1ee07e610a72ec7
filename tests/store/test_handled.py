"""Each event counts once for each group."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.store.handled import claim, handled_migrations, purge_handled
from huleedu.store.migrations import migrate
from huleedu.store.purging import SLICE_ROWS

NOW = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def _opened() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "s", [handled_migrations])
    yield connection
    connection.close()


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    yield from _opened()


@given(st.lists(st.tuples(st.sampled_from("gh"), st.lists(st.sampled_from("abcdef")))))
def test_an_event_is_new_to_a_group_once(deliveries: list[tuple[str, list[str]]]) -> None:
    """Inside one delivery and across all, a group is given each event as new exactly once."""
    for connection in _opened():
        seen: dict[str, set[str]] = {"g": set(), "h": set()}
        for group, event_ids in deliveries:
            fresh = claim(connection, group, event_ids, NOW)

            assert fresh == set(event_ids) - seen[group]
            seen[group] |= fresh


def test_a_claim_that_is_rolled_back_was_none(connection: sqlite3.Connection) -> None:
    """When the effects fail, the event is as new as before."""
    connection.execute("BEGIN")
    claim(connection, "g", ["a"], NOW)
    connection.execute("ROLLBACK")

    assert claim(connection, "g", ["a"], NOW) == {"a"}


def test_a_whole_fetch_is_claimed_at_once(connection: sqlite3.Connection) -> None:
    """More events than a statement takes variables are no problem."""
    event_ids = [str(number) for number in range(50_000)]

    assert len(claim(connection, "g", event_ids, NOW)) == 50_000


def test_purging_goes_in_slices_from_the_oldest(connection: sqlite3.Connection) -> None:
    """What is older than the time to keep goes, a thousand rows at a time; the rest stays."""
    claim(connection, "g", [f"old{number}" for number in range(SLICE_ROWS + 5)], NOW)
    claim(connection, "g", ["young"], NOW + DAY)

    purged = [purge_handled(connection, NOW + DAY, DAY / 2) for _ in range(3)]

    assert purged == [SLICE_ROWS, 5, 0]
    assert claim(connection, "g", ["young", "old0"], NOW) == {"old0"}
