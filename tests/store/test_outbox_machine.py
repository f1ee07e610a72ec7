"""An outbox through commits, roll-backs, crashes, marks and purges, in any order."""

import sqlite3
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from huleedu.core.message import Message
from huleedu.store import outbox
from huleedu.store.migrations import migrate
from huleedu.store.outbox import OutboxRow, outbox_migrations

NOW = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
KEEP = timedelta(hours=1)
TOPICS = ("t", "u")

topics = st.sampled_from(TOPICS)
counts = st.integers(1, 4)


class OutboxMachine(RuleBasedStateMachine):
    """What a relay reads, publishes and marks, beside a list of all that was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.connection, "s", [outbox_migrations])
        self.now = NOW
        self.said = 0
        self.committed: dict[str, list[str]] = {topic: [] for topic in TOPICS}
        self.published: dict[str, list[OutboxRow]] = {topic: [] for topic in TOPICS}
        self.marked: set[str] = set()
        self.cursor = dict.fromkeys(TOPICS, 0)

    def say(self, topic: str, count: int) -> list[str]:
        values = [f"m{self.said + number}" for number in range(count)]
        self.said += count
        outbox.add(
            self.connection,
            [Message(topic, b"k", one.encode(), {"event-id": one}) for one in values],
            self.now,
        )
        return values

    @rule(topic=topics, count=counts)
    def a_change_is_committed(self, topic: str, count: int) -> None:
        self.connection.execute("BEGIN")
        values = self.say(topic, count)
        self.connection.execute("COMMIT")
        self.committed[topic] += values

    @rule(topic=topics, count=counts)
    def a_change_is_rolled_back(self, topic: str, count: int) -> None:
        self.connection.execute("BEGIN")
        self.say(topic, count)
        self.connection.execute("ROLLBACK")

    @rule(topic=topics, limit=counts)
    def the_relay_publishes_a_slice(self, topic: str, limit: int) -> None:
        rows = outbox.unsent(self.connection, topic, self.cursor[topic], limit)
        said = [row.message.event_id for row in rows]
        waiting = [one for one in self.committed[topic] if one not in self.marked]
        since = [row.message.event_id for row in self.published[topic]]
        left = [one for one in waiting if one not in since]
        assert said == left[: len(said)]
        assert len(said) == min(limit, len(left))
        assert not self.marked & set(said)
        self.published[topic] += rows
        if rows:
            self.cursor[topic] = rows[-1].id

    @rule(data=st.data(), topic=topics)
    def some_are_acknowledged_and_marked(self, data: st.DataObject, topic: str) -> None:
        if not self.published[topic]:
            return
        rows = data.draw(st.lists(st.sampled_from(self.published[topic]), max_size=5))
        outbox.mark_sent(self.connection, [row.id for row in rows], self.now)
        self.marked |= {row.message.event_id for row in rows}

    @rule()
    def the_relay_starts_anew(self) -> None:
        self.cursor = dict.fromkeys(TOPICS, 0)
        self.published = {topic: [] for topic in TOPICS}

    @rule(minutes=st.sampled_from([1, 30, 90]))
    def time_passes_and_old_rows_are_purged(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        outbox.purge_sent(self.connection, self.now, KEEP)

    @invariant()
    def all_that_was_committed_waits_until_it_is_marked(self) -> None:
        for topic in TOPICS:
            waiting = [
                row.message.event_id for row in outbox.unsent(self.connection, topic, 0, 10_000)
            ]
            assert waiting == [one for one in self.committed[topic] if one not in self.marked]

    @invariant()
    def the_backlog_is_what_waits(self) -> None:
        total = sum(len(said) for said in self.committed.values()) - len(self.marked)
        assert outbox.backlog(self.connection)[0] == total

    def teardown(self) -> None:
        self.connection.close()


OutboxMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestOutbox = OutboxMachine.TestCase
