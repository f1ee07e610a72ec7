"""What the Batch Orchestrator says."""

import re
from datetime import timedelta
from typing import Annotated

import msgspec

from huleedu.core.enums import Language, ProcessingEvent
from huleedu.core.messages.references import (
    COUNT_MAX,
    ID_CHARACTERS_MAX,
    EntityId,
    EntityReference,
    EssayProcessingInputRefV1,
    Moment,
    Part,
    SystemProcessingMetadata,
    TimedPart,
    ids_of,
    names_twice,
)
from huleedu.core.messages.sizes import fit_one_event

READINESS_TIMEOUT_MIN = timedelta(seconds=1)
READINESS_TIMEOUT_MAX = timedelta(days=90)
"""The contract's bounds on how long a batch may be asked to wait for its essays."""

_ID_LETTER = r"[A-Za-z0-9._:\- ]"
ESSAY_ID = re.compile(f"{_ID_LETTER}{{1,{ID_CHARACTERS_MAX}}}")
"""The form of an essay's id; a blank one is not allowed either."""
_ID_LETTERS = re.compile(f"{_ID_LETTER}*")


class BatchEssaysRegistered(Part, frozen=True, kw_only=True):
    """A batch exists and these essays belong to it.  To ELS, files, results; key batch_id.

    Nothing else, ever: course, class and instructions stay in BOS.  A deadline of its own travels
    as the message header ``readiness-timeout-seconds``.
    """

    batch_id: EntityId
    expected_essay_count: Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]
    essay_ids: Annotated[list[EntityId], msgspec.Meta(min_length=1)]
    metadata: SystemProcessingMetadata
    event: str = ProcessingEvent.BATCH_ESSAYS_REGISTERED.value

    def __post_init__(self) -> None:
        ids = self.essay_ids
        if names_twice(ids):
            raise ValueError(f"batch {self.batch_id!r} registers an essay id twice")
        if self.expected_essay_count != len(ids):
            raise ValueError(
                f"batch {self.batch_id!r} expects {self.expected_essay_count} essays "
                f"and names {len(ids)}"
            )
        if not _ID_LETTERS.fullmatch("".join(ids)) or not all(map(str.strip, ids)):
            raise ValueError(f"batch {self.batch_id!r} registers an id that no essay may have")
        if not fit_one_event(ids):
            raise ValueError(
                f"batch {self.batch_id!r} has {len(ids):,} essays with ids that are too long "
                "for one event about all of them"
            )


class BatchServiceSpellcheckInitiateCommandDataV1(TimedPart, frozen=True, kw_only=True):
    """Check these essays in this language.  To ELS; key batch_id; header ``attempt``."""

    entity_ref: EntityReference
    timestamp: Moment
    essays_to_process: list[EssayProcessingInputRefV1]
    language: Language
    event_name: str = ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND.value

    def __post_init__(self) -> None:
        super().__post_init__()
        if names_twice(ids_of(self.essays_to_process)):
            raise ValueError(f"the command about batch {self.batch_id!r} names an essay twice")

    @property
    def batch_id(self) -> str:
        """The batch that the command is about."""
        return self.entity_ref.entity_id


class BatchReadinessExtended(TimedPart, frozen=True, kw_only=True):
    """The batch waits for its essays until this moment.  To ELS, results; key batch_id."""

    batch_id: EntityId
    deadline: Moment
    metadata: SystemProcessingMetadata
    event: str = ProcessingEvent.BATCH_READINESS_EXTENDED.value


class BatchProceedRequested(Part, frozen=True, kw_only=True):
    """Go on with the essays that are there.  To ELS, files, results; key batch_id."""

    batch_id: EntityId
    metadata: SystemProcessingMetadata
    event: str = ProcessingEvent.BATCH_PROCEED_REQUESTED.value


class BatchCancelled(TimedPart, frozen=True, kw_only=True):
    """Stop the batch.  To ELS, files, results; key batch_id."""

    batch_id: EntityId
    cancellation_time: Moment
    metadata: SystemProcessingMetadata
    cancelled_by: str | None = None
    reason: str | None = None
    event: str = ProcessingEvent.BATCH_CANCELLED.value
