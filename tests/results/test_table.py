"""The CSV of a batch."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.enums import RefusalReason
from huleedu.results.table import COLUMNS, as_csv
from tests.results.projecting import seen_after
from tests.results.story import Story

CELL = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("=+-@\t\r"),
    max_size=20,
)


def test_a_text_that_was_not_taken_has_a_row_of_its_own() -> None:
    """Behind the essays, with its file and the reason; every essay tells its attempt."""
    story = Story(essay_ids=["a"])
    batch = seen_after(
        story.registered(),
        story.content("a"),
        story.ready(),
        story.requested("a", attempt=2),
        story.content("x", "text-x", file_name="x.txt"),
        story.refused("x", "text-x", RefusalReason.NOT_REGISTERED),
    )

    rows = list(csv.reader(io.StringIO(as_csv(batch).decode("utf-8-sig"), newline="")))

    assert rows[1:] == [
        ["a", "", "", "awaiting_spellcheck", "Being checked", "", "", "2"],
        ["x", "", "x.txt", "refused", "Not taken", "", "The batch has no essay with this id", ""],
    ]


@given(CELL, CELL)
def test_no_cell_is_run_and_none_is_lost(student_name: str, file_name: str) -> None:
    """Read back, each cell is what it was, behind an apostrophe where it could be a formula."""
    story = Story(essay_ids=["a"])
    content = story.content("a", student_name=student_name, file_name=file_name)
    batch = seen_after(story.registered(), content)

    rows = list(csv.reader(io.StringIO(as_csv(batch).decode("utf-8-sig"), newline="")))

    assert rows[0] == list(COLUMNS)
    for cell, meant in zip(rows[1][1:3], (student_name, file_name), strict=True):
        assert cell in (meant, f"'{meant}")
        assert cell[:1] not in {"=", "+", "-", "@", "\t", "\r"}
