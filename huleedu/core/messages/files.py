"""What the file module says."""

from huleedu.core.enums import ContentType, ProcessingEvent
from huleedu.core.messages.references import (
    EntityId,
    EntityReference,
    Part,
    StorageReferenceMetadata,
    SystemProcessingMetadata,
)


class EssayContentReady(Part, frozen=True, kw_only=True):
    """The text of one essay is stored.  To ELS, results; key batch_id."""

    essay_id: EntityId
    batch_id: EntityId
    content_storage_reference: StorageReferenceMetadata
    entity: EntityReference
    metadata: SystemProcessingMetadata
    student_name: str | None = None
    student_email: str | None = None
    file_name: str | None = None
    event: str = ProcessingEvent.ESSAY_CONTENT_READY.value

    def __post_init__(self) -> None:
        if ContentType.ORIGINAL_ESSAY not in self.content_storage_reference.references:
            raise ValueError(
                f"content of essay {self.essay_id!r} of batch {self.batch_id!r} "
                f"names no {ContentType.ORIGINAL_ESSAY.value}"
            )

    @property
    def text_storage_id(self) -> str:
        """Where the original text is."""
        return self.content_storage_reference.references[ContentType.ORIGINAL_ESSAY].storage_id
