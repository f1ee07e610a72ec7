"""How often the checker is right, on lists of learners' misspellings and on correct essays.

``python -m tests.spellcheck.measure`` prints the figures, of any list.
"""

from collections.abc import Mapping

import pytest

from huleedu.core.enums import Language
from huleedu.spellcheck.checker import Checker
from tests.spellcheck.conftest import DATA
from tests.spellcheck.measure import Figures, measured, misspellings

LEAST = {
    Language.SWEDISH: Figures(recall=0.99, accuracy=0.95, precision=0.95, coverage=0.80),
    Language.ENGLISH: Figures(recall=0.985, accuracy=0.94, precision=0.98, coverage=0.80),
}


@pytest.mark.parametrize("language", list(Language), ids=str)
def test_learners_misspellings_are_noticed_and_understood(
    checkers: Mapping[Language, Checker], language: Language
) -> None:
    """Recall, accuracy of the first alternative, precision and coverage keep their floors."""
    pairs = misspellings(DATA / f"{language.value}_typos.tsv")
    figures = measured(checkers[language], pairs)

    assert len(pairs) > 150
    assert all(share >= least for share, least in zip(figures, LEAST[language], strict=True)), (
        figures
    )


@pytest.mark.parametrize("language", list(Language), ids=str)
def test_correct_essays_are_left_alone(
    checkers: Mapping[Language, Checker], language: Language
) -> None:
    """Nothing changes in correct essays, and at most two of 800 words are flagged."""
    text = (DATA / f"{language.value}_correct.txt").read_text("utf-8")
    checked = checkers[language].check(text)

    assert len(text.split()) > 800
    assert text == checked.corrected
    assert len(checked.corrections) <= 2
