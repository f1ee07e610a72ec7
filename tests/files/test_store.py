"""The tables of files: what is in force, and what was refused."""

import sqlite3
from collections.abc import Iterator
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.enums import RefusalReason
from huleedu.files.model import NewText, Registration
from huleedu.files.store import (
    MIGRATIONS,
    add_registrations,
    add_texts,
    find_ending,
    find_registration,
    load_slots,
    note_endings,
    note_refusal,
)
from huleedu.store.migrations import migrate
from tests.support.builders import AT, CORRELATION

BATCH = Registration("b", CORRELATION, ["e2", "e1"])


def files_tables() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys=ON")
    migrate(connection, "test", MIGRATIONS)
    add_registrations(connection, [BATCH], AT)
    return connection


@pytest.fixture
def store() -> Iterator[sqlite3.Connection]:
    connection = files_tables()
    yield connection
    connection.close()


def give(store: sqlite3.Connection, essay_id: str, version: int, storage_id: str) -> None:
    text = NewText(
        essay_id=essay_id,
        version=version,
        storage_id=storage_id,
        file_name="a.txt",
        student_name=None,
    )
    add_texts(store, "b", [text], AT)


def test_a_registration_is_found_as_it_was_heard_first(store: sqlite3.Connection) -> None:
    """The order of the essays is kept, and a second registration changes nothing."""
    add_registrations(store, [Registration("b", UUID(int=1), ["x"])], AT)

    assert find_registration(store, "b") == BATCH
    assert find_registration(store, "another") is None


def test_a_foreign_registration_may_have_no_correlation_id(store: sqlite3.Connection) -> None:
    """Its batch then has none."""
    foreign = Registration("f", None, ["e1"])

    add_registrations(store, [foreign], AT)

    assert find_registration(store, "f") == foreign


def test_the_newest_text_is_in_force(store: sqlite3.Connection) -> None:
    """Of several versions the last one counts, and the next has the number after it."""
    give(store, "e1", 1, "A")
    give(store, "e1", 2, "B")

    slots = load_slots(store, "b")

    assert (slots.texts, slots.versions, slots.refusals) == ({"e1": "B"}, {"e1": 2}, {})


def test_a_refused_text_leaves_the_one_before_it_in_force(store: sqlite3.Connection) -> None:
    """Its version stays used, so that no event id is used twice."""
    give(store, "e1", 1, "A")
    give(store, "e1", 2, "B")

    assert note_refusal(store, "b", "e1", "B", "batch_ready")

    slots = load_slots(store, "b")
    assert (slots.texts, slots.versions) == ({"e1": "A"}, {"e1": 2})
    assert slots.refusals == {("e1", "B"): "batch_ready"}


def test_a_refusal_is_about_the_newest_version_with_that_text(store: sqlite3.Connection) -> None:
    """A, B, A again, and A refused: the third is meant; told twice it stays so."""
    for version, storage_id in enumerate("ABA", start=1):
        give(store, "e1", version, storage_id)

    for reason in ("batch_ready", "batch_closed"):
        assert note_refusal(store, "b", "e1", "A", reason)

        slots = load_slots(store, "b")
        assert (slots.texts, slots.refusals) == ({"e1": "B"}, {("e1", "A"): "batch_ready"})


def test_a_refusal_of_a_text_from_elsewhere_changes_nothing(store: sqlite3.Connection) -> None:
    """Neither another essay, nor another batch, nor another text is meant."""
    give(store, "e1", 1, "A")

    for batch_id, essay_id, storage_id in [("b", "e2", "A"), ("c", "e1", "A"), ("b", "e1", "B")]:
        assert not note_refusal(store, batch_id, essay_id, storage_id, "batch_ready")

    assert load_slots(store, "b").refusals == {}


def test_two_texts_never_share_a_version(store: sqlite3.Connection) -> None:
    """The store itself refuses what a fault in the program might attempt."""
    give(store, "e1", 1, "A")

    with pytest.raises(sqlite3.IntegrityError):
        give(store, "e1", 1, "B")


ENDINGS = (RefusalReason.BATCH_READY, RefusalReason.BATCH_CLOSED, RefusalReason.BATCH_CANCELLED)


@given(st.lists(st.sampled_from(ENDINGS)))
def test_the_strongest_reason_for_which_a_batch_is_over_is_kept(
    heard: list[RefusalReason],
) -> None:
    """Cancelled before closed before ready, in whatever order they come."""
    store = files_tables()
    for reason in heard:
        note_endings(store, [("b", reason)])

    found = find_ending(store, "b")
    store.close()

    assert found == max(heard, key=ENDINGS.index, default=None)


def test_a_store_without_endings_gets_them(store: sqlite3.Connection) -> None:
    """One of an older program opens, with what it holds."""
    give(store, "e1", 1, "A")
    store.execute("DROP TABLE ending")
    store.execute("DELETE FROM _sqlite_migrations WHERE name = 'create_ending'")

    migrate(store, "test", MIGRATIONS)

    note_endings(store, [("b", RefusalReason.BATCH_CLOSED)])
    assert find_ending(store, "b") is RefusalReason.BATCH_CLOSED
    assert load_slots(store, "b").texts == {"e1": "A"}


steps = st.lists(
    st.tuples(
        st.sampled_from(["give", "refuse"]), st.sampled_from(["e1", "e2"]), st.sampled_from("ABC")
    )
)


@given(steps)
def test_slots_agree_with_a_plain_history(history: list[tuple[str, str, str]]) -> None:
    """Under every order of texts and refusals the slots are what a list of them tells."""
    store = files_tables()
    rows: dict[str, list[list[str | None]]] = {"e1": [], "e2": []}
    for step, essay_id, storage_id in history:
        if step == "give":
            rows[essay_id].append([storage_id, None])
            give(store, essay_id, len(rows[essay_id]), storage_id)
        else:
            meant = [row for row in rows[essay_id] if row[0] == storage_id][-1:]
            for row in meant:
                row[1] = "batch_ready"
            assert note_refusal(store, "b", essay_id, storage_id, "batch_ready") == bool(meant)

    slots = load_slots(store, "b")
    store.close()

    for essay_id, texts in rows.items():
        standing = [text for text, reason in texts if reason is None]
        assert slots.texts.get(essay_id) == (standing[-1] if standing else None)
        assert slots.versions.get(essay_id, 0) == len(texts)
        refused = {text for text, reason in texts if reason is not None}
        assert {text for essay, text in slots.refusals if essay == essay_id} == refused
