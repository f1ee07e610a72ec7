"""Messages that wait in a store, and what becomes of them."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.message import Message
from huleedu.store import outbox
from huleedu.store.migrations import migrate
from huleedu.store.outbox import outbox_migrations
from huleedu.store.purging import SLICE_ROWS

NOW = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    yield from _opened()


def _opened() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "s", [outbox_migrations])
    yield connection
    connection.close()


def _message(text: str, topic: str = "t") -> Message:
    return Message(topic, b"\x00k\xff", text.encode(), {"event-id": text, "ö": "å"})


def _ids(connection: sqlite3.Connection, topic: str = "t") -> list[int]:
    return [row.id for row in outbox.unsent(connection, topic, 0, 10_000)]


def test_a_message_waits_byte_for_byte(connection: sqlite3.Connection) -> None:
    """Key, value and headers come out as they went in."""
    outbox.add(connection, [_message("a")], NOW)

    assert [row.message for row in outbox.unsent(connection, "t", 0, 10)] == [_message("a")]


def test_messages_wait_in_the_order_in_which_they_were_said(
    connection: sqlite3.Connection,
) -> None:
    """Rows of a topic come oldest first, after the one last seen, a slice at a time."""
    said = [_message(str(number), "t" if number % 2 else "u") for number in range(10)]
    outbox.add(connection, said[:4], NOW)
    outbox.add(connection, said[4:], NOW)
    first = outbox.unsent(connection, "t", 0, 2)
    rest = outbox.unsent(connection, "t", first[-1].id, 100)

    assert [row.message for row in (*first, *rest)] == [m for m in said if m.topic == "t"]
    assert outbox.topics_waiting(connection) == {"t": 10, "u": 9}


def test_a_marked_row_waits_no_longer(connection: sqlite3.Connection) -> None:
    """Sent rows, in any order, are not read again; the first mark keeps its time."""
    outbox.add(connection, [_message(str(number)) for number in range(4)], NOW)
    outbox.mark_sent(connection, [3, 1], NOW)
    outbox.mark_sent(connection, [3], NOW + DAY)

    assert _ids(connection) == [2, 4]
    assert outbox.backlog(connection)[0] == 2
    outbox.mark_sent(connection, [2, 4], NOW)
    assert outbox.topics_waiting(connection) == {}
    assert outbox.backlog(connection) == (0, None)
    # The first mark of each is older than that of a row that was sent a day later.
    outbox.add(connection, [_message("later")], NOW)
    outbox.mark_sent(connection, [5], NOW + DAY)
    assert outbox.purge_sent(connection, NOW + DAY, timedelta(hours=1)) == 4


def test_the_backlog_tells_since_when_the_oldest_waits(connection: sqlite3.Connection) -> None:
    """The age that operators see is that of the oldest unsent row."""
    outbox.add(connection, [_message("old")], NOW)
    outbox.add(connection, [_message("new")], NOW + DAY)

    assert outbox.backlog(connection) == (2, "2026-01-12T08:00:00.000000Z")
    outbox.mark_sent(connection, [1], NOW)
    assert outbox.backlog(connection) == (1, "2026-01-13T08:00:00.000000Z")


def test_purging_goes_in_slices_and_takes_only_old_sent_rows(
    connection: sqlite3.Connection,
) -> None:
    """A purge deletes at most a thousand rows at once, never one that waits or is young."""
    count = SLICE_ROWS + 10
    outbox.add(connection, [_message(str(number)) for number in range(count + 2)], NOW)
    outbox.mark_sent(connection, range(1, count + 1), NOW)
    outbox.mark_sent(connection, [count + 1], NOW + DAY)
    later = NOW + DAY

    purged = [outbox.purge_sent(connection, later, DAY / 2) for _ in range(3)]

    assert purged == [SLICE_ROWS, 10, 0]
    assert connection.execute("SELECT id FROM outbox").fetchall() == [(count + 1,), (count + 2,)]


def test_an_id_is_never_used_again(connection: sqlite3.Connection) -> None:
    """After every row has gone, the next row's id is above all earlier ones."""
    outbox.add(connection, [_message("a"), _message("b")], NOW)
    outbox.mark_sent(connection, [1, 2], NOW)
    connection.execute("DELETE FROM outbox")
    outbox.add(connection, [_message("c")], NOW)

    assert _ids(connection) == [3]


@given(st.lists(st.tuples(st.sampled_from("tuv"), st.booleans()), max_size=30), st.integers(1, 7))
def test_reading_in_slices_finds_every_waiting_row_once(
    rows: list[tuple[str, bool]], limit: int
) -> None:
    """Whatever is sent already and however wide the slices, each waiting row of each topic is
    read once, in order, up to the last one announced."""
    for connection in _opened():
        outbox.add(connection, [_message(str(n), t) for n, (t, _) in enumerate(rows)], NOW)
        outbox.mark_sent(connection, [n + 1 for n, (_, sent) in enumerate(rows) if sent], NOW)
        read: dict[str, list[int]] = {}
        for topic, last in outbox.topics_waiting(connection).items():
            ids = read.setdefault(topic, [])
            while not ids or ids[-1] < last:
                ids += [
                    row.id for row in outbox.unsent(connection, topic, ids[-1] if ids else 0, limit)
                ]

        assert read == {
            topic: waiting
            for topic in "tuv"
            if (waiting := [n + 1 for n, row in enumerate(rows) if row == (topic, False)])
        }
