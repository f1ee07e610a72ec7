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
    """Distinct essays of this attempt with a good result so far."""
    failed: int = 0
    """Distinct essays of this attempt with a failure so far."""
    readiness_timed_out_at: datetime | None = None
    """The last deadline that passed with essays missing."""
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


class ReadinessTimedOut(msgspec.Struct, frozen=True):
    """Essays were missing at a deadline."""

    at: datetime


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
