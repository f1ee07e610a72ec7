"""Which parts of a text are words, and how each is capitalised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.spellcheck.words import Shape, lookup_form, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world!", ["Hello", "world"]),
        ("don’t don't donʼt", ["don't", "don't", "don't"]),
        ("'quoted' ‘words’ «there»", ["quoted", "words", "there"]),
        ("e-mail re-enter", ["mail", "re", "enter"]),
        ("his/her yes/no", ["his", "her", "yes", "no"]),
        ("school.Then it", ["school", "Then", "it"]),
        ("wo\u00adrd wo\u200brd", ["word", "word"]),
        ("vÿ ra\u0308v", ["vÿ", "räv"]),
        ("http://a.bc/de www.fg.hi jk@lm.no #pq @rs", []),
        ("notes.docx essay.final.pdf huleedu.se.", []),
        ("t.ex. e.g. U.S. bl.a.", []),
        ("1990s 2nd B2B snake_case EU:s 10:e", []),
        ("a I Привет 你好", []),
    ],
)
def test_words_are_found(text: str, expected: list[str]) -> None:
    """Words of the Latin script are found; addresses, tags, numbers and single letters are not."""
    assert expected == [word.lookup for word in words(text)]


@given(st.text() | st.lists(st.sampled_from("aÅ\u0308'’-. \n@/\u00ad:ß1_")).map("".join))
def test_every_word_is_a_part_of_the_text(text: str) -> None:
    """Words come in order, do not overlap, and are looked up as their part of the text reads."""
    reached = 0
    for word in words(text):
        assert reached <= word.offset
        reached = word.offset + word.length
        assert word.lookup == lookup_form(text[word.offset : reached])
    assert reached <= len(text)


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("Anna", True),
        ("så. Anna", True),
        ("så! “Anna", True),
        ("så:\r\n- Anna", True),
        ("rubrik\nAnna", True),
        ("så Anna", False),
        ("så, Anna", False),
        ("Dr. Anna", False),
        ("så (Anna", False),
    ],
)
def test_the_start_of_a_sentence_is_seen(text: str, starts: bool) -> None:
    """A word starts a sentence after a full stop, a line's end or nothing; not after a title."""
    assert [starts] == [word.starts_sentence for word in words(text) if word.lookup == "Anna"]


def test_the_capitals_of_a_word_are_seen() -> None:
    """Lower, Title, UPPER and mIxed words are told apart, and headings in capitals."""
    found = {word.lookup: word for word in words("ord Ord NATO iPhone\nEN RUBRIK")}

    shapes = [found[word].shape for word in ("ord", "Ord", "NATO", "iPhone")]
    assert shapes == [Shape.LOWER, Shape.TITLE, Shape.UPPER, Shape.MIXED]
    assert found["RUBRIK"].shouted
    assert not found["NATO"].shouted
