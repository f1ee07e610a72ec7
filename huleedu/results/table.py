"""A batch as CSV that spreadsheets open as text: RFC 4180 with commas, in UTF-8 with a BOM."""

import csv
import io
import re
from collections.abc import Sequence

from huleedu.results.model import BatchView, EssayView, RefusedText
from huleedu.results.wording import NOT_TAKEN

COLUMNS = (
    "essay_id",
    "student_name",
    "file_name",
    "status",
    "status_text",
    "corrections_made",
    "error",
    "attempt",
)
REFUSED = "refused"
"""In place of a status: of a text that the batch did not take."""
_BYTE_ORDER_MARK = "\ufeff"
# A cell that begins like this may be run as a formula (OWASP, CSV injection); the full-width
# forms are taken for the plain ones by some.  Spreadsheets in many languages, Swedish too, split at
# the semicolon, where our quotes are none to them: a cell may begin within one of ours.
_FORMULA = re.compile(r'((?:^|[,;\t\r\n])[\s"]*)([=+\-@＝＋－＠])')
_BLANK_BEGINNINGS = ("\t", "\r", "\n")


def as_csv(batch: BatchView) -> bytes:
    """Return a header row, a row for each essay in the order of registration, and one for each
    text that was not taken.

    Without the BOM spreadsheets would take the letters å, ä and ö for those of another encoding.
    """
    text = io.StringIO(newline="")
    text.write(_BYTE_ORDER_MARK)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(_row(essay) for essay in batch.essays)
    writer.writerows(_refused_row(refused) for refused in batch.refused_texts)
    return text.getvalue().encode()


def _row(essay: EssayView) -> Sequence[str]:
    return _cells([getattr(essay, column) for column in COLUMNS])


def _refused_row(refused: RefusedText) -> Sequence[str]:
    told = {
        "essay_id": refused.essay_id,
        "student_name": refused.student_name,
        "file_name": refused.file_name,
        "status": REFUSED,
        "status_text": NOT_TAKEN,
        "error": refused.reason_text,
    }
    return _cells([told.get(column) for column in COLUMNS])


def _cells(values: Sequence[object]) -> Sequence[str]:
    return ["" if value is None else _harmless(str(value)) for value in values]


def _harmless(cell: str) -> str:
    """Return the cell with an apostrophe before anything that could be run as a formula."""
    marked = _FORMULA.sub(r"\1'\2", cell)
    return f"'{marked}" if marked.startswith(_BLANK_BEGINNINGS) else marked
