"""What ELS's decisions see and what they answer: plain values."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from huleedu.core.enums import EssayStatus, PipelineExecutionStatus, RefusalReason


class Text(msgspec.Struct, frozen=True):
    """The text of one essay as it was announced, with what is known of its author."""

    storage_id: str
    student_name: str | None = None
    student_email: str | None = None
    file_name: str | None = None


class Registration(msgspec.Struct, frozen=True):
    """The essays that belong to a batch, in the order in which they were registered."""

    batch_id: str
    essay_ids: Sequence[str]
    deadline: datetime | None = None
    """Until when the batch waits for them without a word."""


class Content(msgspec.Struct, frozen=True):
    """One essay's text, as it was heard."""

    batch_id: str
    essay_id: str
    text: Text


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as the readiness decision sees it.

    ``slots`` (essay id → storage id) holds those that the messages at hand name; before the
    registration, and when it comes, all there are.  ``filled`` counts the registered slots with a
    text, also those that ``slots`` leaves out; before the registration it is 0.

    What a message cannot change may be left out: texts do not look at deadlines.
    """

    batch_id: str
    registered: frozenset[str] | None = None
    filled: int = 0
    ready: bool = False
    slots: Mapping[str, str] = {}
    closed: bool = False
    """It became ready without the essays whose slots are free: those failed."""
    proceeding: bool = False
    """It was told to go on with what is there before it was registered."""
    cancelled: bool = False
    deadline: datetime | None = None
    """When it is told that essays are missing; None: not any more."""
    timed_out: datetime | None = None
    """The latest deadline of which that was told."""


class Refusal(msgspec.Struct, frozen=True):
    """A text that the batch cannot take."""

    batch_id: str
    essay_id: str
    storage_id: str
    reason: RefusalReason


class ReadinessDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from messages about one batch."""

    view: BatchView
    kept: Mapping[str, Text] = {}
    """Texts to keep: essay id → text, in a free slot or in place of what it held."""
    refused: Sequence[Refusal] = ()
    repeated: Sequence[Content] = ()
    """Texts that their slots held already: they change nothing."""
    dropped: Sequence[str] = ()
    """Essay ids of texts kept so far that turned out not to belong to the batch."""
    became_ready: bool = False
    skipped: str = ""
    """Why a wish or a registration changes nothing, in words; empty: it does."""


class PhaseView(msgspec.Struct, frozen=True):
    """A batch as the decision about phases that stand still sees it."""

    batch_id: str
    dispatched: datetime
    progressed: datetime
    """When the dispatch or anything about one of its essays was last heard."""
    waits: bool
    """Whether results are missing."""


class BatchTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The times of a batch, each read from the clock of ELS; None: that did not happen."""

    registered: datetime | None = None
    deadline: datetime | None = None
    deadline_from: datetime | None = None
    """When an extension set the deadline; None: it counts from the registration."""
    timed_out: datetime | None = None
    dispatched: datetime | None = None
    progressed: datetime | None = None


class EssayView(msgspec.Struct, frozen=True):
    """An essay as the phase decision sees it."""

    status: EssayStatus
    attempt: int
    answered: int = 0
    """The latest attempt of which an answer was heard, whatever followed from it."""


class Tally(msgspec.Struct, frozen=True):
    """How the essays of a batch stand when its phase is over."""

    processed: int
    failed: int

    @property
    def phase_status(self) -> PipelineExecutionStatus:
        """The outcome in one word: all, some or none went well."""
        if self.failed == 0:
            return PipelineExecutionStatus.COMPLETED_SUCCESSFULLY
        if self.processed == 0:
            return PipelineExecutionStatus.FAILED
        return PipelineExecutionStatus.COMPLETED_WITH_PARTIAL_SUCCESS
