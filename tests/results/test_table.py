"""The CSV of a batch."""

import csv
import io
import re

from hypothesis import example, given
from hypothesis import strategies as st

from huleedu.core.enums import RefusalReason
from huleedu.results.table import COLUMNS, as_csv
from tests.results.projecting import seen_after
from tests.results.story import Story

CELL = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("=+-@\t\r"),
    max_size=20,
)

HOSTILE_CELL = st.text(st.sampled_from("=+-@＝,;\t\r\n\"' a1"), max_size=12)
FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
BLANKS = ("\t", "\r", "\n")


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


def table_of(student_name: str, file_name: str) -> str:
    story = Story(essay_ids=["a"])
    content = story.content("a", student_name=student_name, file_name=file_name)
    return as_csv(seen_after(story.registered(), content)).decode("utf-8-sig")


@given(CELL, CELL)
def test_no_cell_is_lost(student_name: str, file_name: str) -> None:
    """Read back, each cell is what it was, but for apostrophes before what could be a formula."""
    rows = list(csv.reader(io.StringIO(table_of(student_name, file_name), newline="")))

    assert rows[0] == list(COLUMNS)
    for cell, said in zip(rows[1][1:3], (student_name, file_name), strict=True):
        assert cell.replace("'", "") == said.replace("'", "")
        assert cell == said or set(said) & {*FORMULAS, *BLANKS}


@example("a;=1+1;", 'a;"=1+1')
@example("a\t=1+1", "a\r\n=1+1")
@example("=1+1", " \t@x")
@example('";=1+1', '",+1')
@given(HOSTILE_CELL, HOSTILE_CELL)
def test_no_cell_is_run_wherever_a_spreadsheet_splits(student_name: str, file_name: str) -> None:
    """At the comma, as in English, at the semicolon, as in Swedish, or at the tab."""
    table = table_of(student_name, file_name)
    seen = [
        cell
        for delimiter in ",;\t"
        for row in csv.reader(io.StringIO(table, newline=""), delimiter=delimiter)
        for cell in row
    ]
    seen += re.split(r"[,;\t\r\n]", table)  # by one that knows no quotes

    assert [cell for cell in seen if cell.lstrip(' "\t\r\n').startswith(FORMULAS)] == []
    whole = list(csv.reader(io.StringIO(table, newline="")))
    assert [cell for cell in whole[1] if cell.startswith(BLANKS)] == []
