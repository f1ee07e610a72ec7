"""Checks one text: finds misspelt words, corrects those that are sure, flags the rest."""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

from huleedu.core.enums import Language
from huleedu.spellcheck.dictionary import WORD_LETTERS_MAX, Dictionary
from huleedu.spellcheck.index import load
from huleedu.spellcheck.model import CheckedText, Correction, Kind, apply
from huleedu.spellcheck.ranking import Candidate, Ranking
from huleedu.spellcheck.word_index import Index, Progress
from huleedu.spellcheck.words import Shape, Word, words

SURE = 0.82
"""Least probability of a correction that is made.

On ``tests/spellcheck/data`` at least 95 of 100 such corrections are what was meant.
"""

SURE_AT_SENTENCE_START = 0.95
"""The same for a capitalised first word: it may be a name."""

NAME_DISTANCE = 1.0
NAME_ZIPF = 4.0
"""A capitalised first word is taken for a name unless it is this near to a word this frequent.

In edits, and in log10 of occurrences per 10^9 words.  Nor is a word corrected to a rarer name.
"""

LETTERS_MIN = 4
"""Shorter words have too many neighbours to be corrected.

Of three letters only these are: swapped ones ("teh") and a missing capital ("i'm").
"""

SWAP_ZIPF_MIN = 5.5
"""How frequent (log10 per 10^9 words) a shorter word must be for its letters to be unswapped."""

LOOKUPS_MAX = 2_000
"""Different misspelt words of one text that alternatives are looked up for (1 ms each).

Those after are flagged without: so that a megabyte of noise costs seconds, not minutes.
"""

_WORDS_REMEMBERED_MAX = 100_000
_CANDIDATES_REMEMBERED_MAX = 10_000

CORRECTIONS_MAX = 10_000
"""Entries of one text; what follows the last is left unchecked: no text of words comes near it."""


class Checker:
    """Checks texts of one language.  Deterministic; one thread at a time.

    Made by :func:`load_checker`.
    """

    def __init__(self, language: Language, dictionary: Dictionary, index: Index) -> None:
        self.language = language
        # The same words come again and again.
        self._accepted = lru_cache(_WORDS_REMEMBERED_MAX)(dictionary.accepts)
        self._candidates = lru_cache(_CANDIDATES_REMEMBERED_MAX)(
            Ranking(language, index).candidates
        )

    def check(self, text: str) -> CheckedText:
        """Return ``text`` with the sure corrections made, and every word found wrong.

        Everything but the corrected words is kept code point for code point.  Any ``str`` will
        do.  Lower-case words, and words of an all-capitals line, are corrected when sure; the
        first word of a sentence when very sure; other capitalised words are taken for names.
        """
        found = tuple(islice(_TextCheck(self, text).corrections(), CORRECTIONS_MAX))
        return CheckedText(corrected=apply(text, found), corrections=found)

    def is_right(self, word: Word) -> bool:
        """Tell whether the dictionaries accept ``word`` as it stands in its text."""
        lookup = word.lookup
        if self._accepted(lookup):
            return True
        return (
            (word.after_apostrophe and self._accepted("'" + lookup))
            or (word.before_full_stop and self._accepted(lookup + "."))
            or (word.hyphenated and self._accepted(lookup + "-"))
            or (lookup.lower().endswith("'s") and self._accepted(lookup[:-2]))
        )

    def candidates(self, lower: str) -> tuple[Candidate, ...]:
        """Return what a misspelt word may have been meant to be, likeliest first."""
        return self._candidates(lower)


def load_checker(
    language: Language, *, progress: Progress | None = None, directory: Path | None = None
) -> Checker:
    """Return the checker of ``language``: see :func:`huleedu.spellcheck.index.load`.

    Raises ``Misconfigured`` when a dictionary is missing or the index cannot be kept.
    """
    dictionary = Dictionary(language)
    return Checker(language, dictionary, load(dictionary, progress=progress, directory=directory))


class _TextCheck:
    """The check of one text: what is remembered while it is gone through."""

    def __init__(self, checker: Checker, text: str) -> None:
        self._checker = checker
        self._text = text
        self._words = list(words(text))
        self._names = {
            word.lookup
            for word in self._words
            if word.shape is Shape.TITLE and not word.starts_sentence
        }
        self._looked_up: set[str] = set()
        self._curly = "’" in text

    def corrections(self) -> Iterator[Correction]:
        """Yield what is wrong, in the order of the text."""
        for word in self._words:
            if len(word.lookup) <= WORD_LETTERS_MAX and not self._checker.is_right(word):
                correction = self._judge(word)
                if correction is not None:
                    yield correction

    def _judge(self, word: Word) -> Correction | None:
        """Return what to say of a word that no dictionary has; None for what may be a name."""
        first = word.shape is Shape.TITLE and word.starts_sentence
        if first and word.lookup in self._names:
            return None
        if not (first or word.shape is Shape.LOWER or word.shouted):
            return None
        found = self._candidates(word)
        if first and not (found and _is_common(found[0])):
            return None
        written = self._text[word.offset : word.offset + word.length]
        alternatives = self._written_alike(word, written, found)
        sure = bool(found) and _is_sure(word.lookup, found[0], first=first)
        return Correction(
            offset=word.offset,
            length=word.length,
            original=written,
            correction=alternatives[0] if sure else None,
            alternatives=alternatives,
            confidence=round(found[0].probability, 3) if found else 0.0,
            kind=_kind(found),
        )

    def _candidates(self, word: Word) -> tuple[Candidate, ...]:
        stem, _ = _possessive(word.lookup.lower())
        if stem not in self._looked_up:
            if len(self._looked_up) >= LOOKUPS_MAX:
                return ()
            self._looked_up.add(stem)
        return self._checker.candidates(stem)

    def _written_alike(
        self, word: Word, written: str, found: tuple[Candidate, ...]
    ) -> tuple[str, ...]:
        """Return the candidates with the capitals, apostrophes and Unicode form of the word."""
        _, suffix = _possessive(word.lookup)
        decomposed = not unicodedata.is_normalized("NFC", written)
        alternatives: list[str] = []
        for candidate in found:
            meant = candidate.word + suffix
            if word.shape is Shape.TITLE:
                meant = meant[:1].upper() + meant[1:]
            elif word.shape is Shape.UPPER:
                meant = meant.upper()
            if self._curly:
                meant = meant.replace("'", "’")
            if decomposed:
                meant = unicodedata.normalize("NFD", meant)
            if meant not in alternatives:
                alternatives.append(meant)
        return tuple(alternatives)


def _possessive(lookup: str) -> tuple[str, str]:
    """Split "pupil's" into stem and ending; the ending is empty for other words."""
    if lookup[-2:] in {"'s", "'S"}:
        return lookup[:-2], lookup[-2:]
    return lookup, ""


def _is_common(best: Candidate) -> bool:
    """Tell whether a capitalised first word is rather a misspelt word than a name."""
    return best.word.islower() and best.distance <= NAME_DISTANCE and best.zipf >= NAME_ZIPF


def _is_sure(lookup: str, best: Candidate, *, first: bool) -> bool:
    """Tell whether to put ``best`` in the place of ``lookup``, rather than to flag it."""
    if best.probability < (SURE_AT_SENTENCE_START if first else SURE):
        return False
    if best.distance and not best.word.islower() and best.zipf < NAME_ZIPF:
        return False  # "bergkvist" may well be right; "febuary" is not
    if len(lookup) >= LETTERS_MIN:
        return True
    swapped = sorted(lookup.lower()) == sorted(best.word) and best.zipf >= SWAP_ZIPF_MIN
    return len(lookup) == LETTERS_MIN - 1 and (swapped or best.distance == 0)


def _kind(found: tuple[Candidate, ...]) -> Kind:
    if not found:
        return Kind.UNKNOWN_WORD
    return Kind.MISSPELLING if found[0].distance else Kind.CAPITALISATION
