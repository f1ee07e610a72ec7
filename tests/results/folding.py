"""Facts of a batch as plain values, and what they come to."""

from typing import Any

from huleedu.results.decide import view_of
from huleedu.results.model import BatchFacts, BatchView, EssayFacts, EssayView, ResultFact

NEVER = ""  # nothing was said before: whoever waits, waits on


def result(attempt: int = 1, *, good: bool = True, at: str = "t5", by: str = "e") -> ResultFact:
    return ResultFact(
        attempt=attempt,
        is_success=good,
        said_at=at,
        event_id=by,
        original_storage_id=f"o{attempt}{at}{by}",
        corrected_storage_id=f"c{attempt}{at}{by}" if good else None,
        log_storage_id=f"l{attempt}{at}{by}" if good else None,
        corrections_made=4 if good else None,
        error_message=None if good else f"broken {attempt}{at}{by}",
    )


def essay(essay_id: str = "a", **facts: Any) -> EssayFacts:
    return EssayFacts(essay_id=essay_id, **facts)


def batch(*essays: EssayFacts, **facts: Any) -> BatchFacts:
    known: dict[str, Any] = {"batch_id": "b", "updated_at": "t9", "registered_at": "t0"} | facts
    return BatchFacts(**{"expected_count": len(essays)} | known, essays=essays)


def seen(*essays: EssayFacts, patience_ends: str = NEVER, **facts: Any) -> BatchView:
    return view_of(batch(*essays, **facts), patience_ends)


def only(one: EssayFacts, **facts: Any) -> EssayView:
    (view,) = seen(one, **facts).essays
    return view
