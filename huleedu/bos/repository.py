"""What BOS keeps of its batches, as a promise; ``store`` keeps it in SQLite."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from huleedu.bos.api_models import BatchRegistrationRequestV1
from huleedu.bos.model import Batch, ResultsCounted


class BatchContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch was registered with, and what happened to it since."""

    batch_id: str
    correlation_id: UUID
    registered_at: datetime
    registration: BatchRegistrationRequestV1
    readiness_timed_out_at: datetime | None = None


class FirstResult(msgspec.Struct, frozen=True):
    """A result of one essay in one attempt."""

    batch_id: str
    attempt: int
    essay_id: str
    is_success: bool


class BatchRepositoryProtocol(Protocol):
    """The batches as one transaction sees them; nothing of it is durable before the commit."""

    def store_batch_context(
        self, batch: Batch, registration: BatchRegistrationRequestV1, registered_at: datetime
    ) -> None:
        """Keep a new batch, with the state of its pipelines.  Its id must be new."""
        ...

    def get_batch_context(self, batch_id: str) -> BatchContext | None:
        """Return what the batch was registered with, or None when there is no such batch."""
        ...

    def save_processing_pipeline_state(self, batches: Iterable[Batch]) -> None:
        """Keep what was decided about these batches: status, attempt, counts and pipelines."""
        ...

    def load_batches(self, batch_ids: Iterable[str]) -> Mapping[str, Batch]:
        """Return those of these batches that exist, by id."""
        ...

    def load_essay_ids(self, batch_ids: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """Return the registered essay ids of those of these batches that exist, by batch id."""
        ...

    def count_first_results(self, results: Sequence[FirstResult]) -> Mapping[str, ResultsCounted]:
        """Keep each essay's first result of an attempt; return how many were new, by batch id."""
        ...
