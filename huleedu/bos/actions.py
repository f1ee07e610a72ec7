"""What a teacher may do with a batch, and when: pure rules, told in a teacher's words.

BOS keeps the wish and says it; ELS, who alone knows which texts there are, decides what comes of
it.  So BOS refuses only what its own state rules out already.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import assert_never

import msgspec
from msgspec.structs import replace

from huleedu.bos.model import Batch, Cancellation
from huleedu.core.enums import BatchStatus
from huleedu.core.messages import EssayProcessingInputRefV1
from huleedu.core.pipeline_state import cancelled, redispatched

_TICK = timedelta(microseconds=1)
_ENDED = {
    BatchStatus.COMPLETED_SUCCESSFULLY: "The batch is done: every essay was checked.",
    BatchStatus.COMPLETED_WITH_FAILURES: "The batch is done; some of its essays failed.",
    BatchStatus.FAILED_CRITICALLY: "The batch has ended; none of its essays could be checked.",
    BatchStatus.CONTENT_INGESTION_FAILED: "The batch has ended: it went on without any text.",
    BatchStatus.CANCELLED: "The batch was cancelled; nothing more happens to it.",
}
_UNDER_CHECK = "The batch waits for no more texts: it is being checked."
_GOES_ON = "The batch was told already to go on with the essays that are there."


class Extend(msgspec.Struct, frozen=True):
    """Wait for the texts until this moment (UTC)."""

    deadline: datetime


class Proceed(msgspec.Struct, frozen=True):
    """Go on with the essays that are there."""


class Cancel(msgspec.Struct, frozen=True):
    """Stop the batch."""

    reason: str | None = None
    cancelled_by: str | None = None


class Retry(msgspec.Struct, frozen=True):
    """Check these essays again: those that failed and have a text.

    None: where the texts are was never heard.
    """

    essays: Sequence[EssayProcessingInputRefV1] | None = None


Action = Extend | Proceed | Cancel | Retry


class Taken(msgspec.Struct, frozen=True):
    """The batch as it is from now on; ``is_news``: there is something to be said about it."""

    batch: Batch
    is_news: bool = True


class Refused(msgspec.Struct, frozen=True):
    """The state of the batch does not allow it, for this reason."""

    reason: str


def act(batch: Batch, action: Action, at: datetime) -> Taken | Refused:
    """Return what becomes of the batch when a teacher does this at this moment (UTC)."""
    match action:
        case Extend():
            return _extend(batch, action.deadline, at)
        case Proceed():
            return _proceed(batch, at)
        case Cancel():
            return _cancel(batch, action, at)
        case Retry():
            return _retry(batch, action.essays, at)
        case _:
            assert_never(action)


def _extend(batch: Batch, deadline: datetime, at: datetime) -> Taken | Refused:
    refused = _waits_no_more(batch)
    if refused is not None:
        return refused
    if batch.deadline == deadline:
        return Taken(batch, is_news=False)
    # Whoever hears two extensions in the wrong order takes the one that was said last.
    after_last = at if batch.extended_at is None else max(at, batch.extended_at + _TICK)
    return Taken(
        replace(batch, deadline=deadline, extended_at=after_last, extensions=batch.extensions + 1)
    )


def _proceed(batch: Batch, at: datetime) -> Taken | Refused:
    refused = _waits_no_more(batch)
    return refused if refused is not None else Taken(replace(batch, proceed_requested_at=at))


def _waits_no_more(batch: Batch) -> Refused | None:
    if batch.status in _ENDED:
        return Refused(_ENDED[batch.status])
    if batch.status is not BatchStatus.AWAITING_CONTENT_VALIDATION:
        return Refused(_UNDER_CHECK)
    return None if batch.proceed_requested_at is None else Refused(_GOES_ON)


def _cancel(batch: Batch, action: Cancel, at: datetime) -> Taken | Refused:
    if batch.status is BatchStatus.CANCELLED:
        return Refused("The batch was cancelled already.")
    if batch.status in _ENDED:
        return Refused(f"{_ENDED[batch.status]} There is nothing left to stop.")
    told = "the batch was cancelled"
    reason = told if action.reason is None else f"{told}: {action.reason}"
    return Taken(
        replace(
            batch,
            status=BatchStatus.CANCELLED,
            pipelines=cancelled(batch.pipelines, reason, at),
            cancellation=Cancellation(
                at=at, reason=action.reason, cancelled_by=action.cancelled_by
            ),
        )
    )


def _retry(
    batch: Batch, essays: Sequence[EssayProcessingInputRefV1] | None, at: datetime
) -> Taken | Refused:
    if batch.status not in _ENDED:
        return Refused("The batch has not ended yet; what fails can be checked again afterwards.")
    if batch.status not in (BatchStatus.COMPLETED_WITH_FAILURES, BatchStatus.FAILED_CRITICALLY):
        return Refused(f"{_ENDED[batch.status]} There is nothing to check again.")
    if essays is None:
        return Refused("Where the texts of this batch are is not known here; try again later.")
    if not essays:
        return Refused("The essays that failed have no text, so that nothing can be checked again.")
    pipelines = redispatched(batch.pipelines, len(essays), at)
    assert pipelines.spellcheck is not None
    counts = pipelines.spellcheck.essay_counts
    return Taken(
        replace(
            batch,
            status=BatchStatus.PROCESSING_PIPELINES,
            attempt=batch.attempt + 1,
            successful=counts.successful,
            failed=counts.failed,
            pipelines=pipelines,
        )
    )
