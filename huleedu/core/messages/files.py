"""What the file module says."""

from huleedu.core.enums import ContentType, ProcessingEvent
from huleedu.core.errors import MalformedMessage
from huleedu.core.messages.references import (
    EntityReference,
    Part,
    StorageReferenceMetadata,
    SystemProcessingMetadata,
)


class EssayContentReady(Part, frozen=True, kw_only=True):
    """The text of one essay is stored.  To ELS, results; key batch_id."""

    essay_id: str
    batch_id: str
    content_storage_reference: StorageReferenceMetadata
    entity: EntityReference
    metadata: SystemProcessingMetadata
    student_name: str | None = None
    student_email: str | None = None
    file_name: str | None = None
    event: str = ProcessingEvent.ESSAY_CONTENT_READY.value

    @property
    def text_storage_id(self) -> str:
        """Where the original text is.  Raises ``MalformedMessage`` when none is named."""
        original = self.content_storage_reference.references.get(ContentType.ORIGINAL_ESSAY)
        if original is None:
            raise MalformedMessage(
                f"content of essay {self.essay_id!r} of batch {self.batch_id!r} "
                f"names no {ContentType.ORIGINAL_ESSAY.value}"
            )
        return original.storage_id
