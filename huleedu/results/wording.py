"""What a teacher reads, pure: every state and failure in a plain sentence."""

from huleedu.core.enums import BatchStatus, EssayStatus, RefusalReason

ERROR_CHARACTERS_MAX = 500

NO_TEXT_YET = "Waiting for the text"
DEADLINE_PASSED = "the deadline has passed"
NOT_TAKEN = "Not taken"
GOES_ON = "about to go on with these"

_ESSAY = {
    EssayStatus.READY_FOR_PROCESSING: "Text received",
    EssayStatus.CONTENT_INGESTION_FAILED: "No text came; the batch went on without it",
    EssayStatus.AWAITING_SPELLCHECK: "Being checked",
    EssayStatus.SPELLCHECKED_SUCCESS: "Checked",
    EssayStatus.SPELLCHECK_FAILED: "Could not be checked",
    EssayStatus.ESSAY_CRITICAL_FAILURE: "Stopped",
}

_BATCH = {
    BatchStatus.AWAITING_CONTENT_VALIDATION: "Waiting for texts",
    BatchStatus.READY_FOR_PIPELINE_EXECUTION: "Every text is there; the check is about to start",
    BatchStatus.PROCESSING_PIPELINES: "Being checked",
    BatchStatus.COMPLETED_SUCCESSFULLY: "Done",
    BatchStatus.COMPLETED_WITH_FAILURES: "Done, but some essays failed",
    BatchStatus.FAILED_CRITICALLY: "No essay could be checked",
    BatchStatus.CANCELLED: "Cancelled",
    BatchStatus.CONTENT_INGESTION_FAILED: "No text came",
}

_REFUSAL = {
    RefusalReason.BATCH_READY: "The check had begun; a text that comes later is not taken",
    RefusalReason.BATCH_CLOSED: "The batch was closed before this text came",
    RefusalReason.BATCH_CANCELLED: "The batch was cancelled before this text came",
    RefusalReason.NOT_REGISTERED: "The batch has no essay with this id",
}

_FAILURE = {
    "RESOURCE_NOT_FOUND": "The text of this essay could not be found.",
    "CONTENT_SERVICE_ERROR": "The text of this essay could not be read.",
    "EXTERNAL_SERVICE_ERROR": "A part of the system did not answer; try again.",
}
_SOME_FAILURE = "The checker could not work on this text; try again."

NO_RESULT_IN_TIME = "The check did not finish in time; try again."


def essay_status_text(status: EssayStatus | None, *, is_overdue: bool = False) -> str:
    """Return how an essay stands; other phases than the spell-check say their status's name."""
    if status is None:
        return f"{NO_TEXT_YET}; {DEADLINE_PASSED}" if is_overdue else NO_TEXT_YET
    return _ESSAY.get(status, status.value.replace("_", " ").capitalize())


def batch_status_text(status: BatchStatus, texts: int, done: int, expected: int) -> str:
    """Return how a batch stands, with the number that tells how far it is."""
    text = _BATCH.get(status, status.value.replace("_", " ").capitalize())
    if status is BatchStatus.AWAITING_CONTENT_VALIDATION:
        return f"{text}: {texts} of {expected} are here"
    if status is BatchStatus.PROCESSING_PIPELINES:
        return f"{text}: {done} of {expected} are done"
    return text


def refusal_text(reason: RefusalReason) -> str:
    """Return why a batch did not take a text."""
    return _REFUSAL[reason]


def failure_text(code: str | None, message: str | None) -> str:
    """Return why an essay could not be checked: the checker's own words, if it gave any.

    They come from outside: one line, 500 characters at most.
    """
    said = " ".join("".join(c if c.isprintable() else " " for c in message or "").split())
    if said:
        return said if len(said) <= ERROR_CHARACTERS_MAX else said[: ERROR_CHARACTERS_MAX - 1] + "…"
    return _FAILURE.get(code or "", _SOME_FAILURE)


def cancelled_text(reason: str | None) -> str:
    """Return why an essay was stopped."""
    return f"The batch was cancelled{because(reason) or '.'}"


def because(reason: str | None) -> str:
    """Return a teacher's reason behind a colon; nothing without one."""
    if reason is None or not reason.strip():
        return ""
    return f": {failure_text(None, reason)}"
