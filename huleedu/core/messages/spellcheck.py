"""What the spell-checker says."""

from huleedu.core.enums import ContentType, EssayStatus, ProcessingEvent
from huleedu.core.messages.references import (
    Count,
    EntityReference,
    Moment,
    StorageKey,
    StorageReferenceMetadata,
    SystemProcessingMetadata,
    TimedPart,
)


class SpellcheckResultDataV1(TimedPart, frozen=True, kw_only=True):
    """One essay was checked, or could not be.  To ELS, BOS, results; key batch_id.

    Header ``attempt``.  On failure ``system_metadata.error_info`` says why.
    """

    entity_ref: EntityReference
    timestamp: Moment
    status: EssayStatus
    system_metadata: SystemProcessingMetadata
    original_text_storage_id: StorageKey
    storage_metadata: StorageReferenceMetadata | None = None
    corrections_made: Count | None = None
    event_name: str = ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED.value

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.status not in (EssayStatus.SPELLCHECKED_SUCCESS, EssayStatus.SPELLCHECK_FAILED):
            raise ValueError(f"a result with status {self.status.value!r}")
        if (
            self.status is EssayStatus.SPELLCHECKED_SUCCESS
            and self.storage_id(ContentType.CORRECTED_TEXT) is None
        ):
            raise ValueError(
                f"essay {self.essay_id!r} is said to be checked, but no corrected text is named"
            )

    @property
    def batch_id(self) -> str | None:
        """The batch of the essay, where the sender named it (the message's key says it too)."""
        return self.entity_ref.parent_id

    @property
    def essay_id(self) -> str:
        """The essay that was checked."""
        return self.entity_ref.entity_id

    def storage_id(self, kind: ContentType) -> str | None:
        """Return where the corrected text or the log is, or None on failure."""
        if self.storage_metadata is None:
            return None
        reference = self.storage_metadata.references.get(kind)
        return None if reference is None else reference.storage_id
