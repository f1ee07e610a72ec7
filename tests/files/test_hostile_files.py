"""Files that are broken, false or made to hurt are refused: soon, cheaply and with their reason."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.extraction import ExtractionLimits, extract
from tests.files.documents import paragraph, word_document
from tests.files.hostile import GOOD, REAL, WORD_FILES

LIMITS = ExtractionLimits()


@pytest.mark.parametrize("kind", WORD_FILES)
def test_each_hostile_word_file_is_refused_for_its_own_reason(kind: str) -> None:
    """No file of the corpus gives a text, and each says what is wrong with it."""
    make, reason = WORD_FILES[kind]

    with pytest.raises(Unreadable) as caught:
        extract("essay.docx", make(), LIMITS)

    assert reason is caught.value.reason
    assert "essay.docx" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("PDF", "a PDF"),
        ("program", "a program"),
        ("picture", "a picture"),
        ("old Word", "an old Word document"),
        ("Excel", "an Excel workbook"),
        ("PowerPoint", "a PowerPoint presentation"),
        ("OpenDocument", "an OpenDocument file"),
        ("plain text", "plain text"),
    ],
)
def test_a_mislabelled_file_is_told_what_it_looks_like(kind: str, said: str) -> None:
    """A teacher learns what was uploaded in place of a Word document."""
    with pytest.raises(Unreadable, match=f"it looks like {said}"):
        extract("essay.docx", WORD_FILES[kind][0](), LIMITS)


def test_a_word_document_named_txt_is_refused() -> None:
    """The ending decides how a file is read, and the bytes whether they agree."""
    with pytest.raises(Unreadable) as caught:
        extract("essay.txt", GOOD, LIMITS)

    assert caught.value.reason is UnreadableReason.MISLABELLED


def test_limits_are_taken_exactly() -> None:
    """What just fits is read; one element, level, part or byte more is refused."""
    content = word_document(paragraph("Hej"))  # 2 relations, then 5 elements, one inside another

    fitting = ExtractionLimits(elements_max=7, depth_max=5, members_max=3, text_bytes_max=4)

    assert extract("a.docx", content, fitting) == "Hej"
    for tighter in (
        ExtractionLimits(elements_max=6),
        ExtractionLimits(depth_max=4),
        ExtractionLimits(members_max=2),
        ExtractionLimits(text_bytes_max=2),
        ExtractionLimits(unpacked_bytes_max=100),
    ):
        with pytest.raises(Unreadable):
            extract("a.docx", content, tighter)


def text_or_refusal(content: bytes) -> str | Unreadable:
    try:
        return extract("a.docx", content, LIMITS)
    except Unreadable as error:
        return error


@given(st.binary(max_size=300))
def test_random_bytes_are_no_word_document(content: bytes) -> None:
    """Noise is refused, also when it begins as a zip file does."""
    assert isinstance(text_or_refusal(content), Unreadable)
    assert isinstance(text_or_refusal(b"PK\x03\x04" + content), Unreadable)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([GOOD, REAL]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.floats(0.5, 1),
)
def test_a_damaged_document_gives_its_text_or_a_reason(
    content: bytes, changes: list[tuple[float, int]], kept: float
) -> None:
    """Changed and cut bytes never raise anything but Unreadable, nor add to the text."""
    damaged = bytearray(content)
    for where, byte in changes:
        damaged[int(where * len(damaged))] = byte
    cut = bytes(damaged[: int(kept * len(damaged))]) if kept < 0.9 else bytes(damaged)

    read = text_or_refusal(cut)

    assert isinstance(read, Unreadable) or len(read) <= LIMITS.text_bytes_max


DIRECTORY = GOOD.index(b"PK\x01\x02")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(DIRECTORY, len(GOOD) - 1), st.integers(0, 255)), max_size=6))
def test_a_directory_that_lies_does_not_crash(changes: list[tuple[int, int]]) -> None:
    """Offsets, sizes, counts and names in the zip's directory may say anything."""
    damaged = bytearray(GOOD)
    for where, byte in changes:
        damaged[where] = byte

    read = text_or_refusal(bytes(damaged))

    assert isinstance(read, Unreadable) or read == extract("a.docx", GOOD, LIMITS)
