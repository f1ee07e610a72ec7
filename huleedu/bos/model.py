"""What a decision about a batch needs to see, and the facts it is decided from."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from huleedu.core.enums import BatchStatus, Language, PipelineExecutionStatus
from huleedu.core.messages import EssayProcessingInputRefV1
from huleedu.core.pipeline_state import ProcessingPipelineState

CLOSED = frozenset(
    {
        BatchStatus.CONTENT_INGESTION_FAILED,
        BatchStatus.COMPLETED_SUCCESSFULLY,
        BatchStatus.COMPLETED_WITH_FAILURES,
        BatchStatus.FAILED_CRITICALLY,
        BatchStatus.CANCELLED,
    }
)
"""Statuses in which no event about the current attempt changes the batch any more."""


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """A teacher stopped the batch."""

    at: datetime
    reason: str | None = None
    cancelled_by: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A registered batch as its pipelines see it; what the teacher wrote is not needed here."""

    batch_id: str
    correlation_id: UUID
    """The registration's, in every event about the batch."""
    language: Language
    essay_count: int
    status: BatchStatus
    attempt: int
    """Which spell-check of the batch counts, from 1; a retry adds 1."""
    successful: int = 0
    """Essays with a good result so far, distinct; those of earlier attempts included."""
    failed: int = 0
    """Essays with a failure so far, distinct; those that are checked again not included."""
    deadline: datetime | None = None
    """Until when a teacher wished it to wait for texts; None: as it was registered."""
    extended_at: datetime | None = None
    """When that was said; strictly later with each extension."""
    extensions: int = 0
    """How often its deadline was moved."""
    proceed_requested_at: datetime | None = None
    """When a teacher told it to go on with what is there."""
    readiness_timed_out_at: datetime | None = None
    """The last deadline that passed with essays missing."""
    missing_essay_ids: tuple[str, ...] | None = None
    """The essays that were missing then."""
    cancellation: Cancellation | None = None
    pipelines: ProcessingPipelineState


class EssaysReady(msgspec.Struct, frozen=True):
    """ELS closed the readiness of the batch with these essays; none: it went on without any."""

    essays: Sequence[EssayProcessingInputRefV1]


class ResultsCounted(msgspec.Struct, frozen=True):
    """So many more essays have a first result in the batch's current attempt."""

    successful: int
    failed: int


class PhaseConcluded(msgspec.Struct, frozen=True):
    """ELS spoke of all essays of the batch."""

    attempt: int
    status: PipelineExecutionStatus
    successful: int
    failed: int
    failed_essay_ids: tuple[str, ...] = ()


class ReadinessTimedOut(msgspec.Struct, frozen=True):
    """These essays were missing at a deadline."""

    at: datetime
    missing_essay_ids: tuple[str, ...] = ()


Fact = EssaysReady | ResultsCounted | PhaseConcluded | ReadinessTimedOut


class Decision(msgspec.Struct, frozen=True):
    """The batch as it is from now on, and what follows."""

    batch: Batch
    to_spellcheck: Sequence[EssayProcessingInputRefV1] = ()
    """Essays whose spell-check is to be commanded now."""
    concluded: bool = False
    """Whether this fact ended the batch."""
    skipped: str | None = None
    """Why the fact changed nothing, where it did not."""
