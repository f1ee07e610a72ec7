"""An outbox in the order of its rows, slice by slice."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.message import Message
from huleedu.store import outbox
from huleedu.store.migrations import migrate
from huleedu.store.outbox import last_given_id, outbox_migrations
from huleedu.store.outbox_identity import acknowledged_id, outbox_identity_migrations
from huleedu.transport.kafka.outbox_slices import (
    before_unsent,
    mark_sent_up_to,
    read_slice,
    unmark_rolled_back,
)

NOW = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)


def opened() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "s", [outbox_migrations, outbox_identity_migrations])
    return connection


def message(number: int, size: int = 1) -> Message:
    return Message(f"t{number % 3}", b"k%d" % (number % 2), b"x" * size, {"event-id": str(number)})


def numbers(rows: list[Message]) -> list[int]:
    return [int(row.event_id) for row in rows]


def test_all_topics_come_in_the_order_in_which_they_were_said() -> None:
    """One slice holds rows of every topic, as they were said, whole."""
    with closing(opened()) as connection:
        said = [message(number) for number in range(10)]
        outbox.add(connection, said, NOW)

        assert read_slice(connection, 0).messages == said
        assert read_slice(connection, 0).last_id == 10
        assert read_slice(connection, 10).messages == []
        assert read_slice(connection, 10).last_id == 10


def test_the_order_is_that_of_the_rows_and_not_of_their_times() -> None:
    """A clock that is set back while rows are added changes nothing."""
    with closing(opened()) as connection:
        for number in range(6):
            outbox.add(connection, [message(number)], NOW - number * timedelta(days=1))

        assert numbers(list(read_slice(connection, 0, rows_max=4).messages)) == [0, 1, 2, 3]
        mark_sent_up_to(connection, 0, 2, NOW)
        assert numbers(list(read_slice(connection, 2).messages)) == [2, 3, 4, 5]


def test_a_slice_is_bounded() -> None:
    """A slice ends with the row that reaches the bytes, and never has more rows than allowed."""
    with closing(opened()) as connection:
        outbox.add(connection, [message(number, size=1_000) for number in range(10)], NOW)

        assert len(read_slice(connection, 0, rows_max=4).messages) == 4
        assert len(read_slice(connection, 0, bytes_max=2_500).messages) == 3
        assert len(read_slice(connection, 0, bytes_max=1).messages) == 1
        ((size,),) = connection.execute(
            "SELECT DISTINCT length(key) + length(value) + length(headers) FROM outbox"
        ).fetchall()
        assert len(read_slice(connection, 0, bytes_max=3 * size - 1).messages) == 3
        assert len(read_slice(connection, 0, bytes_max=3 * size).messages) == 3
        assert len(read_slice(connection, 0, bytes_max=3 * size + 1).messages) == 4


@given(
    added=st.lists(st.integers(0, 5), max_size=8),
    rows_max=st.integers(1, 7),
    purged_after=st.integers(0, 8),
)
def test_every_row_is_in_exactly_one_slice(
    added: list[int], rows_max: int, purged_after: int
) -> None:
    """However rows come, are marked and purged, going on after the last id meets each once."""
    with closing(opened()) as connection:
        said, seen, after = 0, [], 0
        for turn, count in enumerate(added):
            outbox.add(connection, [message(said + number) for number in range(count)], NOW)
            said += count
            rows = read_slice(connection, after, rows_max)
            seen += numbers(list(rows.messages))
            marked = mark_sent_up_to(connection, after, rows.last_id, NOW)
            assert marked == len(rows.messages)
            after = rows.last_id
            if turn >= purged_after:
                connection.execute("DELETE FROM outbox WHERE sent_at IS NOT NULL")
        while rows_left := read_slice(connection, after, rows_max).messages:
            seen += numbers(list(rows_left))
            after = read_slice(connection, after, rows_max).last_id

        assert seen == list(range(said))
        assert last_given_id(connection) == said


def test_the_oldest_unsent_row_is_found() -> None:
    """Marked rows before it, and none after it, are passed over."""
    with closing(opened()) as connection:
        assert before_unsent(connection) is None
        outbox.add(connection, [message(number) for number in range(6)], NOW)
        assert before_unsent(connection) == 0
        assert mark_sent_up_to(connection, 3, 4, NOW) == 1
        assert mark_sent_up_to(connection, 0, 4, NOW) == 3
        assert before_unsent(connection) == 4
        mark_sent_up_to(connection, 4, 6, NOW)
        assert before_unsent(connection) is None


def test_a_late_mark_takes_nothing_back() -> None:
    """One who wakes up and marks a slice that another has marked with more behind it changes
    neither the rows nor what the broker has acknowledged."""
    with closing(opened()) as connection:
        outbox.add(connection, [message(number) for number in range(4)], NOW)
        mark_sent_up_to(connection, 0, 4, NOW)

        assert mark_sent_up_to(connection, 0, 2, NOW) == 0
        assert acknowledged_id(connection) == 4


def test_an_id_is_remembered_after_its_row_is_purged() -> None:
    """The highest id that was ever given is known though no row is left."""
    with closing(opened()) as connection:
        assert last_given_id(connection) == 0
        outbox.add(connection, [message(number) for number in range(3)], NOW)
        connection.execute("DELETE FROM outbox")

        assert last_given_id(connection) == 3


@given(
    slices=st.lists(st.integers(1, 4), max_size=5),
    elsewhere=st.integers(0, 3),
    position=st.integers(0, 20),
)
def test_what_a_broker_rolled_back_is_sent_again(
    slices: list[int], elsewhere: int, position: int
) -> None:
    """Of the rows above the position, those that this broker had acknowledged, and no others."""
    with closing(opened()) as connection:
        after = 0
        for count in slices:
            outbox.add(connection, [message(after + n) for n in range(count)], NOW)
            mark_sent_up_to(connection, after, after + count, NOW)
            after += count
        outbox.add(connection, [message(after + n) for n in range(elsewhere)], NOW)
        outbox.mark_sent(connection, range(after + 1, after + elsewhere + 1), NOW)
        outbox.add(connection, [message(after + elsewhere)], NOW)

        assert unmark_rolled_back(connection, position) == max(0, after - position)

        again = numbers(list(read_slice(connection, 0).messages))
        assert again == [*range(position, after), after + elsewhere]
        assert unmark_rolled_back(connection, position) == 0
