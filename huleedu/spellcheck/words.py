"""Which parts of a text are words to check, and in which position each stands."""

import re
import unicodedata
from collections.abc import Iterator
from enum import Enum

import msgspec

# Combining marks; then soft hyphen and zero-width characters, which editors leave inside words.
_MARKS = "\u0300-\u036f"
_INVISIBLE = "\u00ad\u200b-\u200d\u2060"
_LETTERS = rf"[^\W\d_](?:[^\W\d_]|[{_MARKS}{_INVISIBLE}])*"
_APOSTROPHES = "'’ʼ‘"
_WORD = re.compile(rf"{_LETTERS}(?:[{_APOSTROPHES}]{_LETTERS})*")
_CHUNK = re.compile(r"\S+")
_INVISIBLES = re.compile(f"[{_INVISIBLE}]")
_APOSTROPHE = re.compile(f"[{_APOSTROPHES}]")
_LATIN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿĀ-ſ']+")

# Host and file names: the last label says so.  "school.Then" is two words with a space missing.
_FILE_OR_HOST = re.compile(
    r"(?:[\w-]+\.)+(?:com|org|net|edu|gov|info|int|eu|uk|us|se|nu|fi|no|dk|de|fr|io|ai|app|tv"
    r"|html?|pdf|docx?|odt|txt|csv|xlsx?|pptx?|jpe?g|png|gif|svg|mp[34]|zip|py|js|md)(?:/.*)?",
    re.IGNORECASE | re.DOTALL,
)
_DOTTED_ABBREVIATION = re.compile(r"(?:[^\W\d_]{1,3}\.)+[^\W\d_]{1,3}\.?")
_PUNCTUATION = "\"'“”‘’«»‹›()[]{}<>,;:!?…*"
_CHUNK_CHARACTERS_MAX = 300  # longer ones are no host name; keeps the patterns above cheap

_SENTENCE_END = frozenset(".!?…:")
_BETWEEN_SENTENCES = frozenset(" \t\u00a0\"'“”‘’«»()[]{}*_-–—•·>\ufeff")
_LINE_ENDS = frozenset("\n\r\u2028\u2029\u0085\v\f")
_TITLES = frozenset({"dr", "mr", "mrs", "ms", "prof", "st", "rev", "sr", "jr", "s:t", "s:ta"})


class Shape(Enum):
    """How a word is capitalised."""

    LOWER = "lower"
    TITLE = "Title"
    UPPER = "UPPER"
    MIXED = "mIxed"


class Word(msgspec.Struct, frozen=True):
    """One word of a text."""

    offset: int
    length: int
    lookup: str
    """NFC, straight apostrophes, nothing invisible, the capitals as written."""
    shape: Shape
    starts_sentence: bool
    shouted: bool
    """Every letter of its line is a capital."""
    after_apostrophe: bool
    before_full_stop: bool
    hyphenated: bool
    """A hyphen joins it to a neighbour."""


def words(text: str) -> Iterator[Word]:
    """Yield the words of ``text`` in order; time is linear in its length.

    Left out: addresses of pages and mail, hashtags, names of hosts and files, dotted abbreviations
    ("t.ex."), forms with a colon ("EU:s"), letters joined to digits ("1990s"), single letters,
    other scripts than Latin.
    """
    shouting = _Shouting(text)
    for chunk in _CHUNK.finditer(text):
        if _is_protected(chunk.group()):
            continue
        for match in _WORD.finditer(text, chunk.start(), chunk.end()):
            word = _word(text, match.start(), match.end(), shouting)
            if word is not None:
                yield word


def _is_protected(chunk: str) -> bool:
    bare = chunk.strip(_PUNCTUATION)
    if "://" in chunk or "@" in chunk or "\\" in chunk or bare.startswith(("#", "www.")):
        return True
    if bare.count("/") > 1:
        return True
    if "." not in bare or len(bare) > _CHUNK_CHARACTERS_MAX:
        return False
    plain = bare.rstrip(".")
    return bool(_FILE_OR_HOST.fullmatch(plain) or _DOTTED_ABBREVIATION.fullmatch(bare))


def _word(text: str, start: int, end: int, shouting: "_Shouting") -> Word | None:
    lookup = lookup_form(text[start:end])
    before, after = text[start - 1 : start], text[end : end + 1]
    if len(lookup) < 2 or not _LATIN.fullmatch(lookup):
        return None
    if before in {"#", "_"} or after == "_" or before.isdigit() or after.isdigit():
        return None
    if _joined_by_colon(text, start, end):
        return None
    shape = shape_of(lookup)
    return Word(
        offset=start,
        length=end - start,
        lookup=lookup,
        shape=shape,
        starts_sentence=shape is Shape.TITLE and _starts_sentence(text, start),
        shouted=shape is Shape.UPPER and shouting.at(start),
        after_apostrophe=before != "" and before in _APOSTROPHES,
        before_full_stop=after == ".",
        hyphenated="-" in {before, after},
    )


def _joined_by_colon(text: str, start: int, end: int) -> bool:
    """Tell whether this is the stem or the ending of a Swedish form such as "EU:s", "pdf:en"."""
    ending = text[start - 2 : start] if start >= 2 else ""
    stem = text[end : end + 2]
    return (ending[1:] == ":" and ending[0].isalnum()) or (stem[:1] == ":" and stem[1:].isalpha())


def lookup_form(written: str) -> str:
    """Return a word as dictionaries have it: composed, straight apostrophes, nothing invisible."""
    if written.isascii():
        return written
    composed = unicodedata.normalize("NFC", _INVISIBLES.sub("", written))
    return _APOSTROPHE.sub("'", composed)


def shape_of(word: str) -> Shape:
    """Return how ``word`` is capitalised."""
    if word.islower():
        return Shape.LOWER
    if word[1:].islower():
        return Shape.TITLE
    return Shape.UPPER if word.isupper() else Shape.MIXED


def _starts_sentence(text: str, start: int) -> bool:
    place = start - 1
    while place >= 0 and text[place] in _BETWEEN_SENTENCES:
        place -= 1
    if place < 0 or text[place] in _LINE_ENDS:
        return True
    if text[place] not in _SENTENCE_END:
        return False
    # "Dr. Thornton": the full stop belongs to the title.
    word_start = place
    while word_start > 0 and place - word_start < 5 and not text[word_start - 1].isspace():
        word_start -= 1
    return text[word_start:place].lower() not in _TITLES


class _Shouting:
    """Tells of a place whether its line is all capitals; keeps the line last asked for."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line = range(0)
        self._answer = False

    def at(self, place: int) -> bool:
        if place not in self._line:
            start = self._text.rfind("\n", 0, place) + 1
            end = self._text.find("\n", place)
            self._line = range(start, len(self._text) if end < 0 else end)
            self._answer = self._text[self._line.start : self._line.stop].isupper()
        return self._answer
