"""How far apart two spellings are, the slips that learners make counting less than others."""

import math
from collections.abc import Iterator, Mapping

from huleedu.core.enums import Language

PLAIN = 1.0
MISSING = 0.9
SILENT_LETTERS = "eh"
SILENT = 0.75
DOUBLING = 0.4
TRANSPOSITION = 0.5
VOWEL = 0.55
APOSTROPHE = 0.2
FIRST_LETTER = 0.35

_ROUNDING = 1e-9
_VOWELS = "aeiouyåäöé"
_DIACRITICS = ("aå", "aä", "oö", "eé", "aà", "oô", "eè", "eê", "cç", "nñ", "uü", "ië", "ií", "ïi")
_SOUND_ALIKE = {
    Language.SWEDISH: ("äe", "åo", "ck", "cs", "sz", "gj", "vw", "kq", "dt", "bp"),
    Language.ENGLISH: ("cs", "ck", "sz", "gj", "iy", "ae", "ei", "vw", "td", "mn"),
}
_SOUND_ALIKE_COST = {Language.SWEDISH: 0.5, Language.ENGLISH: 0.6}
_DIACRITIC_COST = 0.3


def substitution_costs(language: Language) -> Mapping[str, float]:
    """Return the cost of writing the second letter of the key for the first, where it is not 1.

    The groups (vowels for one another, letters that sound alike, letters that differ by their
    diacritic) are what the misspelling lists under ``tests/spellcheck/data`` show most.
    """
    costs: dict[str, float] = {}
    for one in _VOWELS:
        for other in _VOWELS:
            if one != other:
                costs[one + other] = VOWEL
    for pair in _SOUND_ALIKE[language]:
        cost = min(_SOUND_ALIKE_COST[language], costs.get(pair, PLAIN))
        costs[pair] = costs[pair[::-1]] = cost
    for pair in _DIACRITICS:
        costs[pair] = costs[pair[::-1]] = _DIACRITIC_COST
    return costs


def weighted_distance(
    written: str, meant: str, costs: Mapping[str, float], at_most: float
) -> float | None:
    """Return the cheapest way from ``written`` to ``meant``, or None when above ``at_most``.

    A restricted Damerau-Levenshtein distance (no letter is edited twice): insertions, deletions,
    substitutions and transpositions of neighbours, over what is left when the common start and
    end are taken away.  A doubled letter, an apostrophe, swapped neighbours and the substitutions
    named in ``costs`` are cheap; a wrong first letter costs more.  Time is at most
    O(len(written) × len(meant)).
    """
    if written == meant:
        return 0.0
    start, shorter = 0, min(len(written), len(meant))
    while start < shorter and written[start] == meant[start]:
        start += 1
    end = 0
    while end < shorter - start and written[-1 - end] == meant[-1 - end]:
        end += 1
    left = written[start - 1] if start else ""
    written, meant = written[start : len(written) - end], meant[start : len(meant) - end]
    first = 0.0 if start else FIRST_LETTER
    distance = first + _distance(written, meant, costs, left, at_most - first + _ROUNDING)
    return distance if distance <= at_most else None


def _distance(
    written: str, meant: str, costs: Mapping[str, float], left: str, at_most: float
) -> float:
    """Return the distance, or infinity as soon as it is sure to be above ``at_most``."""
    added = [_single(target, near, MISSING) for target, near in _with_neighbour(meant, left)]
    above = [0.0]
    for cost in added:
        above.append(above[-1] + cost)
    before: list[float] = []
    previous = ""
    nearest_above = 0.0
    for letter, neighbour in _with_neighbour(written, left):
        dropped = _single(letter, neighbour, PLAIN)
        row = [above[0] + dropped]
        nearest = row[0]
        for j, target in enumerate(meant):  # comparisons, not min(): a fifth less time
            cost = above[j] if letter == target else above[j] + costs.get(letter + target, PLAIN)
            if above[j + 1] + dropped < cost:  # noqa: PLR1730
                cost = above[j + 1] + dropped
            if row[j] + added[j] < cost:  # noqa: PLR1730
                cost = row[j] + added[j]
            if before and j and letter == meant[j - 1] and previous == target:
                cost = min(cost, before[j - 1] + TRANSPOSITION)
            row.append(cost)
            if cost < nearest:  # noqa: PLR1730
                nearest = cost
        # A transposition reaches back two rows, so the row above must be out of reach as well.
        if nearest > at_most and nearest_above > at_most:
            return math.inf
        before, above, previous, nearest_above = above, row, letter, nearest
    return above[-1]


def _with_neighbour(letters: str, left: str) -> Iterator[tuple[str, str]]:
    return zip(letters, (left or " ") + letters, strict=False)


def _single(letter: str, neighbour: str, plain: float) -> float:
    """Return the cost of one letter too many or too few beside its left neighbour."""
    if letter == neighbour:
        return DOUBLING
    if letter == "'":
        return APOSTROPHE
    return SILENT if letter in SILENT_LETTERS else plain
