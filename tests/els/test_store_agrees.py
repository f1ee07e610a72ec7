"""The SQL that takes whole fetches agrees with the decisions taken one message at a time."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.els.decide import register, take
from huleedu.els.model import BatchView, Content, ReadinessDecision, Registration, Text
from huleedu.els.store import MIGRATIONS
from huleedu.els.tracker import BatchEssayTracker
from huleedu.store.migrations import migrate
from tests.support.builders import AT

ESSAYS = {"b1": ("e1", "e2"), "b2": ("e1",), "b3": ("e1", "e2", "e3")}


@cache
def _empty_store() -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, "test", MIGRATIONS)
        return connection.serialize()


@contextmanager
def els_tables() -> Iterator[sqlite3.Connection]:
    """An empty store in memory."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.deserialize(_empty_store())
        yield connection


registrations = st.sampled_from([Registration(batch, essays) for batch, essays in ESSAYS.items()])
contents = st.builds(
    lambda batch, essay, storage: Content(batch, essay, Text(storage, f"pupil {storage}")),
    st.sampled_from(list(ESSAYS)),
    st.sampled_from(["e1", "e2", "e3", "e4"]),
    st.sampled_from(["s", "t", "u"]),
)
fetches = st.lists(st.tuples(st.lists(registrations, max_size=3), st.lists(contents, max_size=9)))


class OneAtATime:
    """The pure decisions, folded over single messages."""

    def __init__(self) -> None:
        self.views = {batch: BatchView(batch_id=batch) for batch in ESSAYS}
        self.ready: list[str] = []
        self.refused: list[tuple[str, str, str, str]] = []
        self.names: dict[tuple[str, str], str | None] = {}

    def hear(self, one: Registration | Content) -> None:
        view = self.views[one.batch_id]
        decision = register(view, one) if isinstance(one, Registration) else take(view, [one])
        self.views[one.batch_id] = decision.view
        self.note([decision])

    def note(self, decisions: list[ReadinessDecision]) -> None:
        for decision in decisions:
            batch = decision.view.batch_id
            self.ready += [batch] if decision.became_ready else []
            self.refused += [
                (batch, refusal.essay_id, refusal.storage_id, refusal.reason.value)
                for refusal in decision.refused
            ]
            self.names |= {(batch, e): text.student_name for e, text in decision.kept.items()}
            for essay in decision.dropped:
                del self.names[batch, essay]


@settings(max_examples=300)
@given(fetches)
def test_fetches_in_sql_end_as_single_messages_in_the_pure_rules(
    heard: list[tuple[list[Registration], list[Content]]],
) -> None:
    """Same slots, same announcements, same refusals, however the messages are grouped."""
    model, in_sql = OneAtATime(), OneAtATime()
    with els_tables() as connection:
        for registered, texts in heard:
            for registration in registered:
                model.hear(registration)
            for text in texts:
                model.hear(text)
            tracker = BatchEssayTracker(connection, AT)
            in_sql.note(list(tracker.register_batch(registered, {})))
            in_sql.note(list(tracker.mark_essay_ready(texts)))
        batches = {
            batch: (essay_ids is not None, filled, ready_at is not None)
            for batch, essay_ids, filled, ready_at in connection.execute(
                "SELECT batch_id, essay_ids, filled, ready_at FROM batch"
            )
        }
        essays = {
            (batch, essay): (storage, name)
            for batch, essay, storage, name in connection.execute(
                "SELECT batch_id, essay_id, text_storage_id, student_name FROM essay_of_batch"
            )
        }

    assert sorted(in_sql.ready) == sorted(model.ready)
    assert len(set(model.ready)) == len(model.ready)
    assert sorted(in_sql.refused) == sorted(model.refused)
    assert essays == {
        (batch, essay): (storage, model.names[batch, essay])
        for batch, view in model.views.items()
        for essay, storage in view.slots.items()
    }
    for batch, view in model.views.items():
        expected = (view.registered is not None, view.filled, view.ready)
        assert batches.get(batch, (False, 0, False)) == expected
