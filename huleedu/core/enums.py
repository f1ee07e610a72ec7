"""Every enumeration of the contract; the values are what goes over the wire."""

from enum import StrEnum


class ProcessingEvent(StrEnum):
    """What can be said on the bus.  Not every value has a topic: see ``topics``."""

    BATCH_ESSAYS_REGISTERED = "batch.essays.registered"
    ESSAY_CONTENT_READY = "essay.content.ready"
    BATCH_ESSAYS_READY = "batch.essays.ready"
    BATCH_READINESS_TIMEOUT = "batch.readiness.timeout"
    BATCH_SPELLCHECK_INITIATE_COMMAND = "batch.spellcheck.initiate.command"
    ESSAY_SPELLCHECK_REQUESTED = "essay.spellcheck.requested"
    ESSAY_SPELLCHECK_RESULT_RECEIVED = "essay.spellcheck.result.received"
    BATCH_PHASE_CONCLUDED = "batch.phase.concluded"
    BATCH_READINESS_EXTENDED = "batch.readiness.extended"
    BATCH_PROCEED_REQUESTED = "batch.proceed.requested"
    BATCH_CANCELLED = "batch.cancelled"
    ESSAY_CONTENT_REFUSED = "essay.content.refused"
    # Without a topic:
    BATCH_PIPELINE_REQUESTED = "batch.pipeline.requested"
    BATCH_PHASE_INITIATED = "batch.phase.initiated"
    BATCH_PIPELINE_PROGRESS_UPDATED = "batch.pipeline.progress.updated"
    ESSAY_PHASE_INITIATION_REQUESTED = "essay.phase.initiation.requested"
    ESSAY_LIFECYCLE_STATE_UPDATED = "essay.lifecycle.state.updated"
    ESSAY_NLP_RESULT_RECEIVED = "essay.nlp.result.received"
    ESSAY_AIFEEDBACK_RESULT_RECEIVED = "essay.aifeedback.result.received"
    ESSAY_EDITOR_REVISION_RESULT_RECEIVED = "essay.editor_revision.result.received"
    ESSAY_GRAMMAR_RESULT_RECEIVED = "essay.grammar.result.received"
    PROCESSING_STARTED = "processing.started"
    PROCESSING_CONCLUDED = "processing.concluded"
    PROCESSING_FAILED = "processing.failed"


class ProcessingStage(StrEnum):
    """How far a piece of work has come, in ``SystemProcessingMetadata``."""

    PENDING = "pending"
    INITIALIZED = "initialized"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class EntityType(StrEnum):
    """What an ``EntityReference`` points at."""

    BATCH = "batch"
    ESSAY = "essay"


class PipelineExecutionStatus(StrEnum):
    """The state of one pipeline of one batch."""

    REQUESTED_BY_USER = "requested_by_user"
    PENDING_DEPENDENCIES = "pending_dependencies"
    DISPATCH_INITIATED = "dispatch_initiated"
    IN_PROGRESS = "in_progress"
    COMPLETED_SUCCESSFULLY = "completed_successfully"
    COMPLETED_WITH_PARTIAL_SUCCESS = "completed_with_partial_success"
    FAILED = "failed"
    SKIPPED_DUE_TO_DEPENDENCY_FAILURE = "skipped_due_to_dependency_failure"
    SKIPPED_BY_USER_CONFIG = "skipped_by_user_config"
    CANCELLED = "cancelled"


class BatchStatus(StrEnum):
    """The state of a batch, kept by BOS."""

    AWAITING_CONTENT_VALIDATION = "awaiting_content_validation"
    CONTENT_INGESTION_FAILED = "content_ingestion_failed"
    AWAITING_PIPELINE_CONFIGURATION = "awaiting_pipeline_configuration"
    READY_FOR_PIPELINE_EXECUTION = "ready_for_pipeline_execution"
    PROCESSING_PIPELINES = "processing_pipelines"
    COMPLETED_SUCCESSFULLY = "completed_successfully"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    FAILED_CRITICALLY = "failed_critically"
    CANCELLED = "cancelled"


class EssayStatus(StrEnum):
    """The state of one essay, kept by ELS."""

    UPLOADED = "uploaded"
    TEXT_EXTRACTED = "text_extracted"
    CONTENT_INGESTING = "content_ingester"  # the contract's own spelling
    CONTENT_INGESTION_FAILED = "content_ingestion_failed"
    READY_FOR_PROCESSING = "ready_for_processing"
    AWAITING_SPELLCHECK = "awaiting_spellcheck"
    SPELLCHECKING_IN_PROGRESS = "spellchecking_in_progress"
    SPELLCHECKED_SUCCESS = "spellchecked_success"
    SPELLCHECK_FAILED = "spellcheck_failed"
    ESSAY_CRITICAL_FAILURE = "essay_critical_failure"
    AWAITING_NLP = "awaiting_nlp"
    NLP_PROCESSING_IN_PROGRESS = "nlp_processing_in_progress"
    NLP_SUCCESS = "nlp_success"
    NLP_FAILED = "nlp_failed"
    AWAITING_AI_FEEDBACK = "awaiting_ai_feedback"
    AI_FEEDBACK_PROCESSING_IN_PROGRESS = "ai_feedback_processing_in_progress"
    AI_FEEDBACK_SUCCESS = "ai_feedback_success"
    AI_FEEDBACK_FAILED = "ai_feedback_failed"
    AWAITING_EDITOR_REVISION = "awaiting_editor_revision"
    EDITOR_REVISION_PROCESSING_IN_PROGRESS = "editor_revision_processing_in_progress"
    EDITOR_REVISION_SUCCESS = "editor_revision_success"
    EDITOR_REVISION_FAILED = "editor_revision_failed"
    AWAITING_GRAMMAR_CHECK = "awaiting_grammar_check"
    GRAMMAR_CHECK_PROCESSING_IN_PROGRESS = "grammar_check_processing_in_progress"
    GRAMMAR_CHECK_SUCCESS = "grammar_check_success"
    GRAMMAR_CHECK_FAILED = "grammar_check_failed"
    AWAITING_CJ_ASSESSMENT = "awaiting_cj_assessment"
    CJ_ASSESSMENT_PROCESSING_IN_PROGRESS = "cj_assessment_processing_in_progress"
    CJ_ASSESSMENT_SUCCESS = "cj_assessment_success"
    CJ_ASSESSMENT_FAILED = "cj_assessment_failed"


class ContentType(StrEnum):
    """What a stored text is, as key of ``StorageReferenceMetadata.references``."""

    ORIGINAL_ESSAY = "original_essay"
    CORRECTED_TEXT = "corrected_text"
    PROCESSING_LOG = "processing_log"
    NLP_METRICS_JSON = "nlp_metrics_json"
    STUDENT_FACING_AI_FEEDBACK_TEXT = "student_facing_ai_feedback_text"
    AI_EDITOR_REVISION_TEXT = "ai_editor_revision_text"
    AI_DETAILED_ANALYSIS_JSON = "ai_detailed_analysis_json"
    GRAMMAR_ANALYSIS_JSON = "grammar_analysis_json"
    CJ_RESULTS_JSON = "cj_results_json"


class ErrorCode(StrEnum):
    """The stable code of a failure, on the wire and in logs."""

    UNKNOWN_ERROR = "UNKNOWN_ERROR"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
    CONFIGURATION_ERROR = "CONFIGURATION_ERROR"
    EXTERNAL_SERVICE_ERROR = "EXTERNAL_SERVICE_ERROR"
    KAFKA_PUBLISH_ERROR = "KAFKA_PUBLISH_ERROR"
    CONTENT_SERVICE_ERROR = "CONTENT_SERVICE_ERROR"
    SPELLCHECK_SERVICE_ERROR = "SPELLCHECK_SERVICE_ERROR"
    NLP_SERVICE_ERROR = "NLP_SERVICE_ERROR"
    AI_FEEDBACK_SERVICE_ERROR = "AI_FEEDBACK_SERVICE_ERROR"
    CJ_ASSESSMENT_SERVICE_ERROR = "CJ_ASSESSMENT_SERVICE_ERROR"


class RefusalReason(StrEnum):
    """Why ELS did not take a text, in ``EssayContentRefused``."""

    BATCH_READY = "batch_ready"
    BATCH_CLOSED = "batch_closed"
    BATCH_CANCELLED = "batch_cancelled"
    NOT_REGISTERED = "not_registered"


class Language(StrEnum):
    """The languages in which essays are checked (ISO 639-1)."""

    SWEDISH = "sv"
    ENGLISH = "en"
