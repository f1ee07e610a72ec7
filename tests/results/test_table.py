"""The CSV of a batch."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from huleedu.results.table import COLUMNS, as_csv
from tests.results.projecting import seen_after
from tests.results.story import Story

CELL = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("=+-@\t\r"),
    max_size=20,
)


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
