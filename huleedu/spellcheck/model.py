"""What a check yields: the corrected text and every word that it speaks of."""

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What is the matter with a word."""

    MISSPELLING = "misspelling"  # no dictionary has it; words near it are known
    CAPITALISATION = "capitalisation"  # right but for its capital: "english"
    UNKNOWN_WORD = "unknown_word"  # no dictionary has it and nothing is near it


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """One word that is spelt wrong, corrected where that is sure, else only flagged."""

    offset: int
    """First code point of ``original`` in the original text."""
    length: int
    """Code points of the original text that ``correction`` takes the place of."""
    original: str
    """``text[offset : offset + length]``, as it was written."""
    correction: str | None
    """What stands in the corrected text instead; None when the word is only flagged."""
    alternatives: tuple[str, ...]
    """What may have been meant, likeliest first, at most five; the correction is the first."""
    confidence: float
    """How likely the first alternative is what was meant, 0-1; 0 when there is none."""
    kind: Kind


class CheckedText(msgspec.Struct, frozen=True, kw_only=True):
    """A text, its sure corrections applied."""

    corrected: str
    corrections: tuple[Correction, ...]
    """In the order of the text; no two overlap."""

    @property
    def corrections_made(self) -> int:
        """Return how many words were changed (the rest are only flagged)."""
        return sum(1 for each in self.corrections if each.correction is not None)


def apply(text: str, corrections: tuple[Correction, ...]) -> str:
    """Return ``text`` with the corrections put in; what is only flagged stays as it is.

    ``corrections`` are in the order of the text and do not overlap.
    """
    parts: list[str] = []
    reached = 0
    for each in corrections:
        if each.correction is not None:
            parts += text[reached : each.offset], each.correction
            reached = each.offset + each.length
    return "".join((*parts, text[reached:]))
