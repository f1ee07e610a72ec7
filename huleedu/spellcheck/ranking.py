"""What a misspelt word may have been meant to be, and how likely.

A noisy-channel model: the likelihood of a candidate falls with its distance and grows with its
frequency, and "none of these" is a candidate as well.  The constants were fitted on the lists
under ``tests/spellcheck/data``; its tests state the accuracy that they reach.
"""

import math
from heapq import nsmallest
from typing import NamedTuple

from huleedu.core.enums import Language
from huleedu.spellcheck.distance import substitution_costs, weighted_distance
from huleedu.spellcheck.word_index import Index

DISTANCE_MAX = 2.6
DISTANCE_WEIGHT = 3.0
"""One plain edit weighs as much as a word being 1,000 times rarer."""

NAME_PENALTY = 1.0
NONE_OF_THESE = -2.5
SHARPNESS = 1.6
ALTERNATIVES_MAX = 5
SCORES_BEHIND_MAX = 4.5
"""Candidates that are further behind the best are not worth measuring: less than 1 in 1,000."""


class Candidate(NamedTuple):
    """A correct word that may have been meant."""

    word: str
    distance: float
    zipf: float  # log10 of occurrences per 10^9 words
    probability: float


class Ranking:
    """Ranks the words of one language's index."""

    def __init__(self, language: Language, index: Index) -> None:
        self._index = index
        self._costs = substitution_costs(language)

    def candidates(self, word: str) -> tuple[Candidate, ...]:
        """Return what the lower-case ``word`` may have been meant to be, likeliest first.

        At most ``ALTERNATIVES_MAX``; empty when nothing is near.  Costs about 1 ms.
        """
        scored: list[tuple[float, str, float, float]] = []
        enough = -math.inf
        for entry in self._index.near(word):
            lower = entry.word.lower()
            at_most = min(DISTANCE_MAX, (entry.zipf - enough) / DISTANCE_WEIGHT)
            if at_most < 0:
                break  # those that follow are rarer still
            distance = weighted_distance(word, lower, self._costs, at_most)
            if distance is not None:
                score = entry.zipf - DISTANCE_WEIGHT * distance
                if distance and lower != entry.word:
                    score -= NAME_PENALTY
                enough = max(enough, score - SCORES_BEHIND_MAX)
                scored.append((-score, entry.word, distance, entry.zipf))
        if not scored:
            return ()
        best = nsmallest(ALTERNATIVES_MAX, scored)
        top = max(-best[0][0], NONE_OF_THESE)
        weights = [math.exp(SHARPNESS * (-negative - top)) for negative, *_ in scored]
        total = sum(weights) + math.exp(SHARPNESS * (NONE_OF_THESE - top))
        return tuple(
            Candidate(
                word=meant,
                distance=distance,
                zipf=zipf,
                probability=math.exp(SHARPNESS * (-negative - top)) / total,
            )
            for negative, meant, distance, zipf in best
        )
