"""The checker's figures on a list of misspellings.

python -m tests.spellcheck.measure sv tests/spellcheck/data/sv_typos.tsv
python -m tests.spellcheck.measure en LIST.tsv      # written TAB meant (meant, meant)
"""

import sys
import time
from pathlib import Path
from typing import NamedTuple

from huleedu.core.enums import Language
from huleedu.spellcheck.checker import Checker, load_checker

_BEFORE = {Language.SWEDISH: "Det var ", Language.ENGLISH: "It was "}


class Figures(NamedTuple):
    """Shares, 0-1."""

    recall: float
    """Misspelt words that are noticed, of all."""
    accuracy: float
    """Misspelt words whose first alternative is what was meant, of all."""
    precision: float
    """Corrections that are what was meant, of those made."""
    coverage: float
    """Misspelt words that are corrected, of all."""


def misspellings(path: Path) -> list[tuple[str, set[str]]]:
    """Return what learners write, and what they may mean by it."""
    lines = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
    return [(written, set(meant.split(", "))) for written, meant in lines]


def measured(checker: Checker, pairs: list[tuple[str, set[str]]]) -> Figures:
    """Return the figures of the checker, each word standing in a sentence."""
    noticed = understood = made = made_right = 0
    for written, meant in pairs:
        checked = checker.check(_BEFORE[checker.language] + written)
        found = [each for each in checked.corrections if each.original == written]
        for each in found:
            noticed += 1
            understood += bool(meant.intersection(each.alternatives[:1]))
            made += each.correction is not None
            made_right += each.correction in meant
    return Figures(
        noticed / len(pairs), understood / len(pairs), made_right / made, made / len(pairs)
    )


def main(language: str, path: str) -> None:
    """Print the figures."""
    started = time.perf_counter()
    checker = load_checker(Language(language))
    loaded = time.perf_counter()
    pairs = misspellings(Path(path))
    figures = measured(checker, pairs)
    ended = time.perf_counter()
    shares = ", ".join(f"{name} {share:.3f}" for name, share in figures._asdict().items())
    sys.stdout.write(
        f"{language}: {len(pairs)} words: {shares}; loaded in {loaded - started:.2f} s, "
        f"{1000 * (ended - loaded) / len(pairs):.2f} ms a word\n"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
