"""The values that one upload passes through: plain values."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from uuid import UUID

import msgspec

from huleedu.files.errors import Unreadable


class IncomingFile(msgspec.Struct, frozen=True):
    """One file of a request, not read yet; ``name`` is fit to be shown."""

    name: str
    essay_id: str | None
    content: Callable[[], Awaitable[bytes]] | None
    """Reads its bytes; None: it is over the limit, or has a fault, and was not kept."""
    fault: Unreadable | None = None
    """What is wrong with its name."""


class StoredText(msgspec.Struct, frozen=True):
    """A file whose text is in the content store."""

    name: str
    essay_id: str | None
    """The essay that was named beside the file, if one was."""
    storage_id: str


class FileOutcome(StrEnum):
    """What became of one file."""

    ASSIGNED = "assigned"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    UNREADABLE = "unreadable"
    REFUSED = "refused"


class FileReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What its sender is told of one file: its essay, or ``error`` in a teacher's words.

    ``reason`` is the error's stable slug, for programs.
    """

    file_name: str
    outcome: FileOutcome
    essay_id: str | None = None
    error: str | None = None
    reason: str | None = None


class Registration(msgspec.Struct, frozen=True):
    """A batch as it was registered, its essays in that order."""

    batch_id: str
    correlation_id: UUID | None
    essay_ids: Sequence[str]


class Slots(msgspec.Struct, frozen=True):
    """The essays of a batch as far as texts came for them."""

    texts: Mapping[str, str]
    """essay id → storage id of its newest text that was not refused."""
    versions: Mapping[str, int]
    """essay id → how many texts it was given so far."""
    refusals: Mapping[tuple[str, str], str]
    """(essay id, storage id) → why the batch could not take this text."""


class NewText(msgspec.Struct, frozen=True, kw_only=True):
    """A text that an essay is given: its ``version`` counts from 1, for each essay."""

    essay_id: str
    version: int
    storage_id: str
    file_name: str
    student_name: str | None
