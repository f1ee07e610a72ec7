"""The text of .txt files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.extraction import ExtractionLimits, extract

LIMITS = ExtractionLimits()
SWEDISH = "Åsa gick över ån.\nHon såg en räv – “vad fin”, sa hon.\n"

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(
    lambda text: not text.startswith(("\ufeff", "{\\rtf", "ID3", "OggS", "%PDF-"))
)


def refusal(name: str, content: bytes, limits: ExtractionLimits = LIMITS) -> UnreadableReason:
    with pytest.raises(Unreadable) as caught:
        extract(name, content, limits)
    return caught.value.reason


def text_or_refusal(content: bytes) -> str | Unreadable:
    try:
        return extract("a.txt", content, LIMITS)
    except Unreadable as error:
        return error


@pytest.mark.parametrize(
    "content",
    [
        SWEDISH.encode("utf-8"),
        SWEDISH.encode("utf-8-sig"),
        SWEDISH.encode("cp1252"),
        b"\xff\xfe" + SWEDISH.encode("utf-16-le"),
        b"\xfe\xff" + SWEDISH.encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-8 with mark", "windows-1252", "utf-16-le", "utf-16-be"],
)
def test_every_encoding_that_editors_write_is_read(content: bytes) -> None:
    """Whatever encoding Windows, macOS and Linux editors choose, the letters are the same."""
    assert extract("uppsats.txt", content, LIMITS) == SWEDISH


def test_line_endings_are_kept_as_they_are() -> None:
    """The corrected text can only keep the line endings that extraction kept."""
    mixed = "one\r\ntwo\nthree\rfour\r\n"

    assert extract("a.txt", mixed.encode(), LIMITS) == mixed


@given(texts)
def test_text_comes_back_as_it_was_written(text: str) -> None:
    """Any text in UTF-8 is returned unchanged, unless there is nothing in it to be seen."""
    read = text_or_refusal(text.encode())

    if isinstance(read, Unreadable):
        assert read.reason is UnreadableReason.NO_TEXT
        assert not any(letter.isalnum() for letter in text)
    else:
        assert read == text


@given(st.binary(max_size=300))
def test_no_bytes_crash_it(content: bytes) -> None:
    """Whatever is in a .txt file gives a text or a reason, and never a text with a zero byte."""
    read = text_or_refusal(content)

    assert "a.txt" in str(read) if isinstance(read, Unreadable) else "\0" not in read


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", UnreadableReason.EMPTY_FILE),
        (b" \r\n\t\n", UnreadableReason.NO_TEXT),
        (b"\xef\xbb\xbf", UnreadableReason.NO_TEXT),
        ("\u200b\u2060 \ufeff".encode(), UnreadableReason.NO_TEXT),
        (b"an essay\0with a zero byte", UnreadableReason.BINARY),
        (b"an essay\x07\x08 with control bytes", UnreadableReason.BINARY),
        ("no mark".encode("utf-16-le"), UnreadableReason.BINARY),
        (b"\xff\xfe\0\0" + "utf-32".encode("utf-32-le"), UnreadableReason.BINARY),
        (b"\xef\xbb\xbfmarked as UTF-8: \xe5", UnreadableReason.UNKNOWN_ENCODING),
        (b"\xff\xfea", UnreadableReason.UNKNOWN_ENCODING),
        (b"not cp1252 either: \xe5 \x81", UnreadableReason.UNKNOWN_ENCODING),
        (b"%PDF-1.7 ...", UnreadableReason.MISLABELLED),
        (b"PK\x03\x04 a docx named .txt", UnreadableReason.MISLABELLED),
        (b"MZ\x90\0\x03\0", UnreadableReason.MISLABELLED),
        (b"\x89PNG\r\n\x1a\n", UnreadableReason.MISLABELLED),
        (b"{\\rtf1\\ansi Hej}", UnreadableReason.MISLABELLED),
    ],
)
def test_what_is_no_text_is_refused(content: bytes, reason: UnreadableReason) -> None:
    """Each way of not being a text file has its own reason."""
    assert refusal("a.txt", content) is reason


def test_letters_that_programs_begin_with_may_begin_an_essay() -> None:
    """MZ and BM begin programs and pictures, and essays about them, too."""
    assert extract("a.txt", b"MZ is how a program begins.", LIMITS).startswith("MZ")
    assert extract("a.txt", b"BMW makes cars.", LIMITS).startswith("BMW")


def test_the_limit_on_text_counts_bytes_of_utf_8() -> None:
    """A text of exactly the limit is taken; one more letter is not."""
    limits = ExtractionLimits(text_bytes_max=10)

    assert extract("a.txt", "åäöÅÄ".encode("cp1252"), limits) == "åäöÅÄ"
    assert refusal("a.txt", "åäöÅÄÖ".encode("cp1252"), limits) is UnreadableReason.TOO_MUCH_TEXT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("essay.pdf", "is a PDF"),
        ("essay.odt", "is an OpenDocument text"),
        ("essay.DOC", "is an old Word document"),
        ("setup.exe", "is a .exe file"),
        ("essay", "has no ending"),
    ],
)
def test_other_endings_are_named_and_the_way_out_is_told(name: str, said: str) -> None:
    """A teacher reads what was wrong with which file, and what can be uploaded instead."""
    with pytest.raises(Unreadable, match=r"\.docx or \.txt") as caught:
        extract(name, b"anything", LIMITS)

    assert caught.value.reason is UnreadableReason.UNSUPPORTED_ENDING
    assert str(caught.value).startswith(f"“{name}” {said}")


def test_endings_count_regardless_of_case() -> None:
    """Windows writes .TXT as readily as .txt."""
    assert extract("ESSAY.TXT", b"Hello", LIMITS) == "Hello"


def test_a_hostile_name_cannot_forge_a_line_of_a_log() -> None:
    """Of a name with folders and control characters only the harmless rest is shown."""
    with pytest.raises(Unreadable) as caught:
        extract("../../etc/pass\r\nwd\0.txt", b"", LIMITS)

    assert str(caught.value).startswith("“passwd.txt” is empty.")


def test_every_reason_makes_a_whole_sentence() -> None:
    """No message has a gap, whatever the reason."""
    for reason in UnreadableReason:
        message = str(Unreadable("essay.docx", reason, "10 seconds"))
        assert "essay.docx" in message
        assert "{" not in message
        assert message.endswith(".")
