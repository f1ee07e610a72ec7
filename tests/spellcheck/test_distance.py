"""The weighted distance between what was written and what was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.enums import Language
from huleedu.spellcheck.distance import substitution_costs, weighted_distance

ENGLISH = substitution_costs(Language.ENGLISH)
SWEDISH = substitution_costs(Language.SWEDISH)
FAR = 1000.0
spellings = st.text(alphabet="aeåätsck'", max_size=8)


@given(spellings, spellings)
def test_distance_is_zero_for_equal_spellings_only(written: str, meant: str) -> None:
    """Nothing is nearer to a word than itself."""
    distance = weighted_distance(written, meant, SWEDISH, FAR)

    assert distance is not None
    assert (distance == 0) == (written == meant)
    assert distance >= 0


@given(spellings, spellings, st.floats(0, 4))
def test_a_limit_hides_what_is_beyond_it_and_changes_nothing_else(
    written: str, meant: str, at_most: float
) -> None:
    """Giving up early never loses a word that is near enough."""
    distance = weighted_distance(written, meant, SWEDISH, FAR)
    limited = weighted_distance(written, meant, SWEDISH, at_most)

    assert distance is not None
    assert limited == (distance if distance <= at_most else None)


@pytest.mark.parametrize(
    ("written", "likelier", "than"),
    [
        ("comming", "coming", "combing"),
        ("freind", "friend", "fiend"),
        ("seperate", "separate", "seperated"),
        ("dont", "don't", "donut"),
        ("wich", "which", "winch"),
        ("definately", "definitely", "defiantly"),
    ],
)
def test_english_slips_are_near(written: str, likelier: str, than: str) -> None:
    """Doubled, swapped, silent and confused letters and lost apostrophes count little."""
    near = weighted_distance(written, likelier, ENGLISH, FAR)
    far = weighted_distance(written, than, ENGLISH, FAR)

    assert near is not None
    assert far is not None
    assert near < far


@pytest.mark.parametrize(
    ("written", "likelier", "than"),
    [
        ("nagon", "någon", "nation"),
        ("behover", "behöver", "behovet"),
        ("tevling", "tävling", "teckling"),
        ("åfta", "ofta", "åtta"),
    ],
)
def test_swedish_slips_are_near(written: str, likelier: str, than: str) -> None:
    """Letters without their dots or ring, and vowels that sound alike, count little."""
    near = weighted_distance(written, likelier, SWEDISH, FAR)
    far = weighted_distance(written, than, SWEDISH, FAR)

    assert near is not None
    assert far is not None
    assert near < far
