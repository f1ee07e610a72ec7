"""The life of one essay under commands, notices and results, in any order and repetition."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from huleedu.core.enums import EssayStatus
from huleedu.core.essay_state import TERMINAL, StateTransitionValidator
from huleedu.els.decide import accepts_command, settles
from huleedu.els.model import EssayView

S = EssayStatus
RESULTS = (S.SPELLCHECKED_SUCCESS, S.SPELLCHECK_FAILED)
# How far an essay is on its way; only another attempt leads back.
RANK = {
    S.UPLOADED: 0,
    S.READY_FOR_PROCESSING: 1,
    S.AWAITING_SPELLCHECK: 2,
    S.SPELLCHECKING_IN_PROGRESS: 3,
    S.SPELLCHECK_FAILED: 4,
    S.SPELLCHECKED_SUCCESS: 5,
    S.CONTENT_INGESTION_FAILED: 5,
    S.ESSAY_CRITICAL_FAILURE: 5,
}


class EssayLife(RuleBasedStateMachine):
    """One essay, moved only as the validator allows."""

    def __init__(self) -> None:
        super().__init__()
        self.essay = EssayView(S.UPLOADED, 0)
        self.before = self.essay
        self.settled: list[int] = []

    def move(self, target: EssayStatus, attempt: int | None = None) -> bool:
        legal = StateTransitionValidator.is_legal(self.essay.status, target)
        assert legal == (self.essay.status in StateTransitionValidator.sources(target))
        if legal:
            self.essay = EssayView(target, attempt or self.essay.attempt)
        return legal

    @rule()
    def its_text_comes(self) -> None:
        assert self.move(S.READY_FOR_PROCESSING) == (self.before.status is S.UPLOADED)

    @rule()
    def its_batch_goes_on_without_it(self) -> None:
        assert self.move(S.CONTENT_INGESTION_FAILED) == (self.before.status is S.UPLOADED)

    @rule(attempt=st.integers(1, 4))
    def a_check_is_commanded(self, attempt: int) -> None:
        if accepts_command(self.essay.attempt, attempt) and self.move(
            S.AWAITING_SPELLCHECK, attempt
        ):
            assert self.before.status in {S.READY_FOR_PROCESSING, S.SPELLCHECK_FAILED}
            assert attempt > self.before.attempt

    @rule()
    def the_check_begins(self) -> None:
        assert self.move(S.SPELLCHECKING_IN_PROGRESS) == (
            self.before.status is S.AWAITING_SPELLCHECK
        )

    @rule(result=st.sampled_from(RESULTS), attempt=st.none() | st.integers(1, 4))
    def a_result_comes(self, result: EssayStatus, attempt: int | None) -> None:
        waits = self.essay.status in {S.AWAITING_SPELLCHECK, S.SPELLCHECKING_IN_PROGRESS}
        counts = attempt is None or attempt == self.essay.attempt
        assert settles(self.essay, result, attempt) == (waits and counts)
        if waits and counts:
            self.settled.append(self.essay.attempt)
            assert self.move(result)

    @rule(chance=st.integers(0, 9))
    def it_fails_critically(self, chance: int) -> None:
        if chance == 0:
            assert self.move(S.ESSAY_CRITICAL_FAILURE) == (self.before.status not in TERMINAL)

    @invariant()
    def it_goes_on_or_is_tried_again(self) -> None:
        before, self.before = self.before, self.essay
        if before.status in TERMINAL:
            assert self.essay == before
        again = self.essay.attempt > before.attempt
        assert again or RANK[self.essay.status] >= RANK[before.status]

    @invariant()
    def every_attempt_counts_one_result(self) -> None:
        assert len(self.settled) == len(set(self.settled))


EssayLife.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestEssayLife = EssayLife.TestCase
