"""The published language: every message, one file per speaker."""

from huleedu.core.messages.batch import (
    ESSAY_ID,
    READINESS_TIMEOUT_MAX,
    READINESS_TIMEOUT_MIN,
    BatchCancelled,
    BatchEssaysRegistered,
    BatchProceedRequested,
    BatchReadinessExtended,
    BatchServiceSpellcheckInitiateCommandDataV1,
)
from huleedu.core.messages.essay import (
    PHASE_ENDS,
    SPELLCHECK_PHASE,
    BatchEssaysReady,
    BatchReadinessTimeout,
    ELSBatchPhaseOutcomeV1,
    EssayContentRefused,
    EssayLifecycleSpellcheckRequestV1,
)
from huleedu.core.messages.files import EssayContentReady
from huleedu.core.messages.references import (
    EntityReference,
    EssayProcessingInputRefV1,
    Moment,
    StorageReference,
    StorageReferenceMetadata,
    SystemProcessingMetadata,
    batch_reference,
    essay_reference,
    ids_of,
    in_utc,
    metadata_of,
)
from huleedu.core.messages.sizes import ESSAYS_PER_BATCH_MAX, EVENT_BYTES_MAX
from huleedu.core.messages.spellcheck import SpellcheckResultDataV1

EventData = (
    BatchEssaysRegistered
    | EssayContentReady
    | BatchEssaysReady
    | BatchReadinessTimeout
    | BatchServiceSpellcheckInitiateCommandDataV1
    | EssayLifecycleSpellcheckRequestV1
    | SpellcheckResultDataV1
    | ELSBatchPhaseOutcomeV1
    | BatchReadinessExtended
    | BatchProceedRequested
    | BatchCancelled
    | EssayContentRefused
)

__all__ = [
    "ESSAYS_PER_BATCH_MAX",
    "ESSAY_ID",
    "EVENT_BYTES_MAX",
    "PHASE_ENDS",
    "READINESS_TIMEOUT_MAX",
    "READINESS_TIMEOUT_MIN",
    "SPELLCHECK_PHASE",
    "BatchCancelled",
    "BatchEssaysReady",
    "BatchEssaysRegistered",
    "BatchProceedRequested",
    "BatchReadinessExtended",
    "BatchReadinessTimeout",
    "BatchServiceSpellcheckInitiateCommandDataV1",
    "ELSBatchPhaseOutcomeV1",
    "EntityReference",
    "EssayContentReady",
    "EssayContentRefused",
    "EssayLifecycleSpellcheckRequestV1",
    "EssayProcessingInputRefV1",
    "EventData",
    "Moment",
    "SpellcheckResultDataV1",
    "StorageReference",
    "StorageReferenceMetadata",
    "SystemProcessingMetadata",
    "batch_reference",
    "essay_reference",
    "ids_of",
    "in_utc",
    "metadata_of",
]
