"""The text of .docx files, with mammoth as the second opinion."""

import io
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import docx
import mammoth
import pytest
from docx.enum.text import WD_BREAK
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.files.extraction import ExtractionLimits, extract
from tests.files.documents import (
    STRICT,
    document_xml,
    paragraph,
    relations,
    saved,
    word_document,
    word_parts,
    written,
    zipped,
)

LIMITS = ExtractionLimits()
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/*.docx"))


def text_of(content: bytes) -> str:
    return extract("essay.docx", content, LIMITS)


def words_by_mammoth(content: bytes) -> list[str]:
    raw: str = mammoth.extract_raw_text(io.BytesIO(content)).value
    return raw.split()


def test_a_paragraph_is_a_line() -> None:
    """The text is what a reader sees, line by line, blank lines included."""
    assert text_of(written("Första stycket.", "", "Andra stycket.")) == (
        "Första stycket.\n\nAndra stycket."
    )


def test_tabs_breaks_and_hyphens_are_kept_as_characters() -> None:
    """What is an element in Word is one character in the text, or none."""
    body = (
        "<w:p><w:pPr><w:tabs><w:tab w:val='left' w:pos='720'/></w:tabs></w:pPr>"
        "<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:cr/><w:t>d</w:t>"
        "<w:noBreakHyphen/><w:t>e</w:t><w:softHyphen/><w:t>f</w:t>"
        "<w:sym w:font='Arial' w:char='00E5'/><w:sym w:font='Wingdings' w:char='F04A'/></w:r></w:p>"
    )

    assert text_of(word_document(body)) == "a\tb\nc\nd\u2011efå"


def test_spaces_inside_and_between_runs_are_kept() -> None:
    """Runs join without a seam: Word cuts words apart wherever it likes."""
    body = (
        "<w:p><w:r><w:t>Hel</w:t></w:r><w:r><w:t>lo </w:t></w:r><w:r><w:t> world</w:t></w:r></w:p>"
    )

    assert text_of(word_document(body)) == "Hello  world"


def test_a_table_is_read_cell_by_cell() -> None:
    """Cells come row by row, a line each, nested tables in their place."""
    document = docx.Document()
    table = document.add_table(rows=2, cols=2)
    for number, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = f"cell {number}"
    table.cell(1, 1).add_table(rows=1, cols=1).cell(0, 0).text = "inside"

    lines = text_of(saved(document)).split("\n")

    assert [line for line in lines if line] == ["cell 0", "cell 1", "cell 2", "cell 3", "inside"]


def test_tracked_changes_are_read_as_if_accepted() -> None:
    """Inserted and moved-to text is read; deleted and moved-away text is not."""
    body = (
        "<w:p><w:r><w:t>I </w:t></w:r><w:del><w:r><w:delText>has</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>have</w:t></w:r></w:ins>"
        "<w:moveFrom><w:r><w:t> away</w:t></w:r></w:moveFrom>"
        "<w:moveTo><w:r><w:t> here</w:t></w:r></w:moveTo></w:p>"
    )

    assert text_of(word_document(body)) == "I have here"


@pytest.mark.parametrize("change", ["del", "moveFrom"])
def test_a_deleted_paragraph_mark_joins_two_paragraphs(change: str) -> None:
    """The line goes on where the writer deleted the end of the paragraph, or moved it away."""
    deleted = f"<w:pPr><w:rPr><w:{change} w:id='1'/></w:rPr></w:pPr>"
    body = f"<w:p>{deleted}<w:r><w:t>one </w:t></w:r></w:p>{paragraph('two')}{paragraph('three')}"

    assert text_of(word_document(body)) == "one two\nthree"


def test_a_deleted_paragraph_mark_joins_nothing_across_cells() -> None:
    """A cell ends its line whatever was deleted in it."""
    deleted = "<w:pPr><w:rPr><w:del w:id='1'/></w:rPr></w:pPr>"
    cell = f"<w:tc><w:p>{deleted}<w:r><w:t>one</w:t></w:r></w:p></w:tc>"
    body = f"<w:tbl><w:tr>{cell}<w:tc>{paragraph('two')}</w:tc></w:tr></w:tbl>"

    assert text_of(word_document(body)) == "one\ntwo"


def test_an_inserted_paragraph_mark_is_a_paragraph_mark() -> None:
    """Only deleted marks join."""
    inserted = "<w:pPr><w:rPr><w:ins w:id='1'/></w:rPr></w:pPr>"
    body = f"<w:p>{inserted}<w:r><w:t>one</w:t></w:r></w:p>{paragraph('two')}"

    assert text_of(word_document(body)) == "one\ntwo"


def test_field_codes_are_left_out_and_their_results_read() -> None:
    """A link or a date shows its text, not its code."""
    body = (
        "<w:p><w:r><w:fldChar w:fldCharType='begin'/></w:r>"
        "<w:r><w:instrText> HYPERLINK secret </w:instrText></w:r>"
        "<w:r><w:fldChar w:fldCharType='separate'/></w:r><w:r><w:t>shown</w:t></w:r>"
        "<w:r><w:fldChar w:fldCharType='end'/></w:r>"
        "<w:fldSimple w:instr='DATE'><w:r><w:t> today</w:t></w:r></w:fldSimple>"
        "<w:hyperlink><w:r><w:t> link</w:t></w:r></w:hyperlink></w:p>"
    )

    assert text_of(word_document(body)) == "shown today link"


TEXT_BOX = f"<w:txbxContent>{paragraph('in the box')}</w:txbxContent>"


def test_a_text_box_follows_its_paragraph_and_is_read_once() -> None:
    """Word writes a text box twice, for new and for old readers; we read one of them."""
    body = (
        "<w:p><w:r><w:t>before </w:t></w:r><w:r><mc:AlternateContent>"
        f"<mc:Choice Requires='wps'><wps:txbx>{TEXT_BOX}</wps:txbx></mc:Choice>"
        f"<mc:Fallback><w:pict><v:textbox>{TEXT_BOX}</v:textbox></w:pict></mc:Fallback>"
        "</mc:AlternateContent></w:r><w:r><w:t>after</w:t></w:r></w:p>" + paragraph("next")
    )

    assert text_of(word_document(body)) == "before after\nin the box\nnext"


def test_a_text_box_of_old_kind_is_read() -> None:
    """Documents from before 2010 have no alternatives."""
    body = f"<w:p><w:r><w:pict><v:textbox>{TEXT_BOX}</v:textbox></w:pict></w:r></w:p>"

    assert text_of(word_document(body)).strip() == "in the box"


def test_a_fallback_is_read_when_only_it_has_text() -> None:
    """So Word writes an emoji: a code for itself, the character for others."""
    body = (
        "<w:p><w:r><w:t>fun </w:t></w:r><w:r><mc:AlternateContent><mc:Choice Requires='w16se'>"
        "<w16se:symEx w16se:char='1F60A'/></mc:Choice><mc:Fallback><w:t>😊</w:t></mc:Fallback>"
        "</mc:AlternateContent></w:r></w:p>"
    )

    assert text_of(word_document(body)) == "fun 😊"


def test_content_controls_are_read_but_not_their_placeholders() -> None:
    """What the student filled in is text; what the template asks for is not."""
    body = (
        "<w:sdt><w:sdtPr/><w:sdtContent>" + paragraph("filled in") + "</w:sdtContent></w:sdt>"
        "<w:p><w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent><w:r><w:t>Click here</w:t>"
        "</w:r></w:sdtContent></w:sdt><w:r><w:t>rest</w:t></w:r></w:p>"
    )

    assert text_of(word_document(body)) == "filled in\nrest"


def test_strict_documents_are_read() -> None:
    """Word can save in the strict kind, whose names differ."""
    strict = document_xml(paragraph("Hej"), namespace=STRICT)

    assert text_of(zipped(word_parts(strict))) == "Hej"


def test_utf_16_xml_is_read() -> None:
    """The standard allows UTF-16 for every part."""
    document = document_xml(paragraph("Åäö")).replace("UTF-8", "UTF-16")

    assert text_of(zipped(word_parts(document.encode("utf-16")))) == "Åäö"


@pytest.mark.parametrize(
    "target", ["story/main.xml", "/story/main.xml", "./story/../story/main.xml"]
)
def test_the_main_part_is_where_the_package_says(target: str) -> None:
    """Other programs name the main part otherwise, or from the root."""
    parts = word_parts(document_xml(paragraph("decoy")))
    parts |= {"_rels/.rels": relations(target), "story/main.xml": document_xml(paragraph("main"))}

    assert text_of(zipped(parts)) == "main"


def test_names_of_parts_count_regardless_of_case_and_slash() -> None:
    """Some writers use backslashes or capitals; Word opens these, too."""
    parts = {"Word\\Document.xml": document_xml(paragraph("Hej"))}

    assert text_of(zipped(parts)) == "Hej"


def test_a_stored_zip_is_read() -> None:
    """Compression is optional."""
    content = zipped(word_parts(document_xml(paragraph("Hej"))), zipfile.ZIP_STORED)

    assert text_of(content) == "Hej"


visible = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=40
)


@settings(deadline=None)
@given(st.lists(visible, min_size=1, max_size=8).filter(lambda texts: "".join(texts).strip()))
def test_mammoth_reads_the_same_words(paragraphs: list[str]) -> None:
    """Two independent readers agree on every letter."""
    content = word_document("".join(paragraph(escape(text)) for text in paragraphs))

    assert text_of(content).split() == words_by_mammoth(content)
    assert text_of(content) == "\n".join(paragraphs)


def test_mammoth_agrees_on_a_document_with_everything_usual() -> None:
    """Headings, lists, tables, bold runs, tabs and page breaks."""
    document = docx.Document()
    document.add_heading("My summer", level=1)
    line = document.add_paragraph("It was ")
    line.add_run("very").bold = True
    line.add_run(" hot.\tAnd long.")
    document.add_paragraph("Swimming", style="List Bullet")
    document.add_paragraph().add_run().add_break(WD_BREAK.PAGE)
    document.add_table(rows=1, cols=2).cell(0, 1).text = "A cell"
    document.add_paragraph("The end – “really”.")
    content = saved(document)

    assert text_of(content).split() == words_by_mammoth(content)


@pytest.mark.slow
def test_mammoth_agrees_on_every_example() -> None:
    """But for white space: mammoth joins two words that only a line break parts."""
    assert EXAMPLES
    for example in EXAMPLES:
        content = example.read_bytes()
        assert "".join(text_of(content).split()) == "".join(words_by_mammoth(content))
