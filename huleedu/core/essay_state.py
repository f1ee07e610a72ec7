"""The state machine of one essay: which moves are legal, and nothing else."""

from datetime import datetime

import msgspec

from huleedu.core.enums import EssayStatus

TERMINAL = frozenset(
    {
        EssayStatus.SPELLCHECKED_SUCCESS,
        EssayStatus.CONTENT_INGESTION_FAILED,
        EssayStatus.ESSAY_CRITICAL_FAILURE,
    }
)

_MOVES: dict[EssayStatus, frozenset[EssayStatus]] = {
    EssayStatus.UPLOADED: frozenset(
        {EssayStatus.READY_FOR_PROCESSING, EssayStatus.CONTENT_INGESTION_FAILED}
    ),
    EssayStatus.READY_FOR_PROCESSING: frozenset({EssayStatus.AWAITING_SPELLCHECK}),
    EssayStatus.AWAITING_SPELLCHECK: frozenset(
        {
            EssayStatus.SPELLCHECKING_IN_PROGRESS,
            # A result may overtake the notice that the work began.
            EssayStatus.SPELLCHECKED_SUCCESS,
            EssayStatus.SPELLCHECK_FAILED,
        }
    ),
    EssayStatus.SPELLCHECKING_IN_PROGRESS: frozenset(
        {EssayStatus.SPELLCHECKED_SUCCESS, EssayStatus.SPELLCHECK_FAILED}
    ),
    EssayStatus.SPELLCHECK_FAILED: frozenset({EssayStatus.AWAITING_SPELLCHECK}),
}


class EssayState(msgspec.Struct, frozen=True, kw_only=True):
    """One essay as ELS knows it; ``timeline`` holds when each status was first reached."""

    batch_id: str
    essay_id: str
    current_status: EssayStatus
    timeline: dict[EssayStatus, datetime]
    text_storage_id: str | None = None


class StateTransitionValidator:
    """Knows the legal moves of an essay."""

    @staticmethod
    def is_legal(current: EssayStatus, target: EssayStatus) -> bool:
        """Tell whether an essay may move from one status to the other."""
        if target is EssayStatus.ESSAY_CRITICAL_FAILURE:
            return current not in TERMINAL
        return target in _MOVES.get(current, frozenset())

    @staticmethod
    def sources(target: EssayStatus) -> frozenset[EssayStatus]:
        """Return every status from which an essay may move to ``target``."""
        return frozenset(
            status for status in EssayStatus if StateTransitionValidator.is_legal(status, target)
        )
