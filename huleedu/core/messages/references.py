"""The parts that several messages share."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, get_args

import msgspec

from huleedu.core.enums import ContentType, EntityType, ProcessingEvent, ProcessingStage

# Any UTC offset is accepted, a time without one is refused.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

# How many there are of something; bounded, so that every store can hold it.
COUNT_MAX = 2**31 - 1
Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]

ID_CHARACTERS_MAX = 128
STORAGE_ID_CHARACTERS_MAX = 64
"""Ours have 32; a foreign content store may have longer ones."""
EntityId = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARACTERS_MAX)]
"""The id of a batch or an essay as it travels."""
StorageKey = Annotated[str, msgspec.Meta(min_length=1, max_length=STORAGE_ID_CHARACTERS_MAX)]
"""A storage id as it travels."""


def in_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC.

    Raises ``ValueError`` for a time without offset, and where UTC lies outside the years 1 to 9999.
    """
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no offset from UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{moment.isoformat()} is out of range") from error


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a message.  Unknown fields are ignored, so that senders may grow."""


class TimedPart(Part, frozen=True, kw_only=True):
    """A piece with times of its own.

    They are in UTC whatever offset they came with, so that they are said on as they must be.
    """

    def __post_init__(self) -> None:
        for field in moments_of(type(self)):
            moment = getattr(self, field)
            if moment is not None and moment.tzinfo is not UTC:
                msgspec.structs.force_setattr(self, field, in_utc(moment))


@cache
def moments_of(part: type[Part]) -> tuple[str, ...]:
    """Return the names of the fields that hold times."""
    return tuple(
        field.name
        for field in msgspec.structs.fields(part)
        if field.type is Moment or Moment in get_args(field.type)
    )


class EntityReference(Part, frozen=True, kw_only=True):
    """The batch or the essay that something is about; an essay's parent is its batch."""

    entity_id: EntityId
    entity_type: EntityType
    parent_id: EntityId | None = None


class SystemProcessingMetadata(TimedPart, frozen=True, kw_only=True):
    """When, about what, and how far; ``error_info`` is filled on failure only."""

    entity: EntityReference
    timestamp: Moment
    processing_stage: ProcessingStage | None = None
    started_at: Moment | None = None
    completed_at: Moment | None = None
    event: str | None = None
    error_info: dict[str, Any] = {}


class StorageReference(Part, frozen=True, kw_only=True):
    """Where one text is stored: 32 hex characters of the content store."""

    storage_id: StorageKey
    path: str = ""


class StorageReferenceMetadata(Part, frozen=True, kw_only=True):
    """Stored texts by what they are."""

    references: dict[ContentType, StorageReference]


class EssayProcessingInputRefV1(Part, frozen=True, kw_only=True):
    """An essay and its text.

    ``student_name`` is read where a foreign sender fills it; we leave it empty: names of pupils
    travel with their texts only.
    """

    essay_id: EntityId
    text_storage_id: StorageKey
    student_name: str | None = None


def names_twice(ids: Sequence[str]) -> bool:
    """Tell whether an id stands twice in a list."""
    return len(set(ids)) != len(ids)


def ids_of(essays: Iterable[EssayProcessingInputRefV1]) -> list[str]:
    """Return the ids of essays, in their order."""
    return [essay.essay_id for essay in essays]


def batch_reference(batch_id: str) -> EntityReference:
    """Return the reference to a batch."""
    return EntityReference(entity_id=batch_id, entity_type=EntityType.BATCH)


def essay_reference(batch_id: str, essay_id: str) -> EntityReference:
    """Return the reference to an essay of a batch."""
    return EntityReference(entity_id=essay_id, entity_type=EntityType.ESSAY, parent_id=batch_id)


def metadata_of(
    entity: EntityReference,
    event: ProcessingEvent,
    at: datetime,
    stage: ProcessingStage | None = None,
    error_info: dict[str, Any] | None = None,
) -> SystemProcessingMetadata:
    """Return the metadata of an event that is said at this moment."""
    return SystemProcessingMetadata(
        entity=entity,
        timestamp=at,
        processing_stage=stage,
        event=event.value,
        error_info=error_info or {},
    )
