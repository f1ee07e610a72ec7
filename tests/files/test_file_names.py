"""The names of uploaded files."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.files.file_names import clean_file_name, ending_of, stem_of, student_name_from


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("essay.txt", "essay.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\Anna\\essay.docx", "essay.docx"),
        ("a\r\nSet-Cookie: x.txt", "aSet-Cookie: x.txt"),
        ("nul\0l.txt", "null.txt"),
        ("A\u030asa.txt", "Åsa.txt"),
        ("harmless\u202excod.exe", "harmlessxcod.exe"),
        ("", "unnamed"),
        ("..", "unnamed"),
        ("folder/", "unnamed"),
        (" \t\n", "unnamed"),
        ("half\ud800.txt", "half.txt"),
        ("å" * 300 + ".docx", "å" * 125 + ".docx"),
        ("e" * 300, "e" * 255),
    ],
)
def test_names_are_made_harmless(raw: str, clean: str) -> None:
    """No folder, no control character, nothing endless; the ending survives."""
    assert clean_file_name(raw) == clean


@given(st.text(max_size=400))
def test_every_name_becomes_one_that_can_be_shown_and_stored(raw: str) -> None:
    """Whatever is sent as a name: bounded, composed, visible, and clean once cleaned."""
    clean = clean_file_name(raw)

    assert 0 < len(clean.encode()) <= 255
    assert not set(clean) & set("/\\\r\n\0")
    assert not any(unicodedata.category(letter) == "Cc" for letter in clean)
    assert clean_file_name(clean) == clean


@pytest.mark.parametrize(
    ("name", "stem", "ending"),
    [
        ("essay-1.txt", "essay-1", "txt"),
        ("folder/essay.v2.DOCX", "essay.v2", "docx"),
        ("essay 1 .txt", "essay 1", "txt"),
        ("essay", "essay", ""),
        (".docx", "", "docx"),
        ("A\u030asa.txt", "Åsa", "txt"),
    ],
)
def test_stem_and_ending(name: str, stem: str, ending: str) -> None:
    """Only the last dot parts the ending from the stem."""
    assert (stem_of(name), ending_of(name)) == (stem, ending)


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("Anna Lindqvist.txt", "Anna Lindqvist"),
        ("Anna_Lindqvist.docx", "Anna Lindqvist"),
        ("Lindqvist, Anna.docx", "Anna Lindqvist"),
        ("Anna-Karin O'Brien.txt", "Anna-Karin O'Brien"),
        ("Åsa von Wörd.txt", "Åsa von Wörd"),
        ("Łucja de la Żak.txt", "Łucja de la Żak"),
        ("Jean-luc McKay.txt", "Jean-luc McKay"),
        ("Mary Jane Smith.docx", "Mary Jane Smith"),
        ("Anna Lindqvist - essay 2.docx", "Anna Lindqvist"),
        ("ENG5 – Anna Lindqvist.docx", "Anna Lindqvist"),
        ("Anna Lindqvist_4711_assignsubmission_file_text.docx", "Anna Lindqvist"),
        ("inlämningar/Anna Lindqvist.txt", "Anna Lindqvist"),
    ],
)
def test_a_file_named_after_a_student_tells_the_name(name: str, student: str) -> None:
    """The clear cases, as teachers and learning platforms name files."""
    assert student_name_from(name) == student


@pytest.mark.parametrize(
    "name",
    [
        "essay-1.txt",
        "Anna.txt",
        "anna lindqvist.txt",
        "ANNA LINDQVIST.txt",
        "My Summer.docx",
        "Min Sommar.docx",
        "Essay Final.docx",
        "New Document.docx",
        "Anna Lindqvist 2.docx",
        "Anna Lindqvist - Erik Berg.docx",
        "IMG_1234.txt",
        "Insändare Melker Sandgren.txt",
        "Bergström_Oskar_Anders.docx",
        "The Last Of Us.txt",
        "",
        "one two three four five.txt",
    ],
)
def test_an_unclear_name_tells_nothing(name: str) -> None:
    """A wrong name under a text is worse than none."""
    assert student_name_from(name) is None


@given(st.text(max_size=300))
def test_a_guess_fits_the_contract(name: str) -> None:
    """A student's name has at most 200 characters, whatever the file is called."""
    student = student_name_from(name)

    assert student is None or 0 < len(student) <= 200
