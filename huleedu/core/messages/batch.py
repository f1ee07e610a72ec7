"""What the Batch Orchestrator says."""

from datetime import timedelta
from typing import Annotated

import msgspec

from huleedu.core.enums import Language, ProcessingEvent
from huleedu.core.messages.references import (
    COUNT_MAX,
    EntityReference,
    EssayProcessingInputRefV1,
    Moment,
    Part,
    SystemProcessingMetadata,
    TimedPart,
)

READINESS_TIMEOUT_MIN = timedelta(seconds=1)
READINESS_TIMEOUT_MAX = timedelta(days=90)
"""The contract's bounds on how long a batch may be asked to wait for its essays."""


class BatchEssaysRegistered(Part, frozen=True, kw_only=True):
    """A batch exists and these essays belong to it.  To ELS, files, results; key batch_id.

    Nothing else, ever: course, class and instructions stay in BOS.  A deadline of its own travels
    as the message header ``readiness-timeout-seconds``.
    """

    batch_id: str
    expected_essay_count: Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]
    essay_ids: Annotated[list[str], msgspec.Meta(min_length=1)]
    metadata: SystemProcessingMetadata
    event: str = ProcessingEvent.BATCH_ESSAYS_REGISTERED.value


class BatchServiceSpellcheckInitiateCommandDataV1(TimedPart, frozen=True, kw_only=True):
    """Check these essays in this language.  To ELS; key batch_id; header ``attempt``."""

    entity_ref: EntityReference
    timestamp: Moment
    essays_to_process: list[EssayProcessingInputRefV1]
    language: Language
    event_name: str = ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND.value

    @property
    def batch_id(self) -> str:
        """The batch that the command is about."""
        return self.entity_ref.entity_id


class BatchReadinessExtended(TimedPart, frozen=True, kw_only=True):
    """The batch waits for its essays until this moment.  To ELS, results; key batch_id."""

    batch_id: str
    deadline: Moment
    metadata: SystemProcessingMetadata
    event: str = ProcessingEvent.BATCH_READINESS_EXTENDED.value


class BatchProceedRequested(Part, frozen=True, kw_only=True):
    """Go on with the essays that are there.  To ELS, files, results; key batch_id."""

    batch_id: str
    metadata: SystemProcessingMetadata
    event: str = ProcessingEvent.BATCH_PROCEED_REQUESTED.value


class BatchCancelled(TimedPart, frozen=True, kw_only=True):
    """Stop the batch.  To ELS, files, results; key batch_id."""

    batch_id: str
    cancellation_time: Moment
    metadata: SystemProcessingMetadata
    cancelled_by: str | None = None
    reason: str | None = None
    event: str = ProcessingEvent.BATCH_CANCELLED.value
