"""The legal moves of one essay."""

import pytest

from huleedu.core.enums import EssayStatus
from huleedu.core.essay_state import TERMINAL, StateTransitionValidator

# From the contract, by hand; besides these, any essay that is not at its end may fail critically.
LEGAL = {
    ("uploaded", "ready_for_processing"),  # its text came
    ("uploaded", "content_ingestion_failed"),  # the batch proceeded without it
    ("ready_for_processing", "awaiting_spellcheck"),
    ("awaiting_spellcheck", "spellchecking_in_progress"),
    ("awaiting_spellcheck", "spellchecked_success"),  # the result overtook the notice
    ("awaiting_spellcheck", "spellcheck_failed"),
    ("spellchecking_in_progress", "spellchecked_success"),
    ("spellchecking_in_progress", "spellcheck_failed"),
    ("spellcheck_failed", "awaiting_spellcheck"),  # retry
}
ENDS = {"spellchecked_success", "content_ingestion_failed", "essay_critical_failure"}


@pytest.mark.parametrize("current", EssayStatus)
def test_a_move_is_legal_exactly_when_the_contract_says_so(current: EssayStatus) -> None:
    """Every target is allowed or not as the contract's table has it."""
    expected = {target for status, target in LEGAL if status == current}
    if current not in ENDS:
        expected.add("essay_critical_failure")

    legal = {
        target.value for target in EssayStatus if StateTransitionValidator.is_legal(current, target)
    }

    assert legal == expected


@pytest.mark.parametrize("target", EssayStatus)
def test_sources_are_the_statuses_with_a_legal_move(target: EssayStatus) -> None:
    """The set used in SQL agrees with the rule for one essay."""
    expected = {s for s in EssayStatus if StateTransitionValidator.is_legal(s, target)}

    assert StateTransitionValidator.sources(target) == expected


def test_an_end_is_left_by_nothing() -> None:
    """No move leads out of a terminal status."""
    assert {status.value for status in TERMINAL} == ENDS
    assert not any(
        StateTransitionValidator.is_legal(end, target) for end in TERMINAL for target in EssayStatus
    )
