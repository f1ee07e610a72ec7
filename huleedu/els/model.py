"""What ELS's decisions see and what they answer: plain values."""

from collections.abc import Mapping, Sequence

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
    """

    batch_id: str
    registered: frozenset[str] | None = None
    filled: int = 0
    ready: bool = False
    slots: Mapping[str, str] = {}


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
    dropped: Sequence[str] = ()
    """Essay ids of texts kept so far that turned out not to belong to the batch."""
    became_ready: bool = False


class EssayView(msgspec.Struct, frozen=True):
    """An essay as the phase decision sees it."""

    status: EssayStatus
    attempt: int


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
