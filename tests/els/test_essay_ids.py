"""An essay is found by its id alone, however many batches there are."""

import sqlite3
from collections.abc import Iterator

import pytest

from huleedu.core.errors import Conflict, NotFound
from huleedu.els.handlers import EssayLifecycle
from huleedu.els.store import NUMBERS_TOGETHER
from huleedu.els.views import essay_status
from tests.els.test_store_agrees import els_tables
from tests.support.builders import AT, content_ready, hear, registered

BATCHES = 2 * NUMBERS_TOGETHER + 2
SHARED = "shared"
"""An essay id that the first and the last batch use."""


@pytest.fixture(scope="module")
def store() -> Iterator[sqlite3.Connection]:
    """More batches than stand together in the index, each with a text of its own."""
    with els_tables() as connection:
        essays = {f"b{number}": [f"e{number}"] for number in range(BATCHES)}
        for batch_id in ("b0", f"b{BATCHES - 1}"):
            essays[batch_id].append(SHARED)
        heard = [hear(registered(batch_id, ids)) for batch_id, ids in essays.items()]
        heard += [hear(content_ready(b, e, f"t{e}")) for b, ids in essays.items() for e in ids]
        EssayLifecycle().apply(connection, heard, AT)
        yield connection


def test_every_essay_is_found_by_its_id(store: sqlite3.Connection) -> None:
    """In the first batch, in the last, and at both sides of where stretches meet."""
    edges = [place + side for place in (1, NUMBERS_TOGETHER, BATCHES - 1) for side in (-1, 0)]
    found = {number: essay_status(store, f"e{number}", None)["batch_id"] for number in edges}
    assert found == {number: f"b{number}" for number in edges}


def test_an_id_of_several_batches_asks_for_one_and_names_none(store: sqlite3.Connection) -> None:
    """Also where they lie far from each other."""
    with pytest.raises(Conflict, match="in more than one batch; say which one") as raised:
        essay_status(store, SHARED, None)

    assert f"b{BATCHES - 1}" not in str(raised.value)


def test_an_id_of_no_batch_is_not_found(store: sqlite3.Connection) -> None:
    """Nor is one of an empty store."""
    with pytest.raises(NotFound):
        essay_status(store, "nobody's", None)
    with els_tables() as empty, pytest.raises(NotFound):
        essay_status(empty, "nobody's", None)
