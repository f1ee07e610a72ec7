"""The transaction of an upload: which text is whose essay, its rows, and what is said of it."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from huleedu.core.enums import RefusalReason
from huleedu.files.file_names import student_name_from
from huleedu.files.matching import Assigned, Outcome, Refused, Replaced, Upload, match_files
from huleedu.files.model import (
    FileOutcome,
    FileReceipt,
    NewText,
    Registration,
    Slots,
    StoredText,
)
from huleedu.files.speech import essay_content_ready
from huleedu.files.store import add_texts, find_ending, load_slots
from huleedu.store import outbox

_SAID = {
    RefusalReason.BATCH_READY: (
        "“{name}” came too late: the texts of this batch are being checked already."
    ),
    RefusalReason.BATCH_CLOSED: "“{name}” came too late: the batch went on without it.",
    RefusalReason.BATCH_CANCELLED: "“{name}” came too late: the batch was cancelled.",
    RefusalReason.NOT_REGISTERED: "“{name}” belongs to no essay that is registered in this batch.",
}


def place_texts(
    connection: sqlite3.Connection,
    registration: Registration,
    stored: Sequence[StoredText],
    now: datetime,
) -> Sequence[FileReceipt]:
    """Give the texts to essays of their batch; return what became of each, in order.

    Must run under the store's write lock: what is free is seen and taken in one transaction.
    """
    batch_id = registration.batch_id
    slots = load_slots(connection, batch_id)
    ending = find_ending(connection, batch_id)
    uploads = [Upload(text.name, text.storage_id, text.essay_id) for text in stored]
    outcomes = match_files(registration.essay_ids, slots.texts, uploads)
    receipts: list[FileReceipt] = []
    given: list[NewText] = []
    for text, outcome in zip(stored, outcomes, strict=True):
        receipt = _receipt(text, outcome, slots, ending)
        receipts.append(receipt)
        if receipt.outcome in {FileOutcome.ASSIGNED, FileOutcome.REPLACED}:
            assert receipt.essay_id is not None
            given.append(_new_text(text, receipt.essay_id, slots))
    add_texts(connection, batch_id, given, now)
    said = [essay_content_ready(batch_id, new, registration.correlation_id, now) for new in given]
    outbox.add(connection, said, now)
    return receipts


def _receipt(
    text: StoredText, outcome: Outcome, slots: Slots, ending: RefusalReason | None
) -> FileReceipt:
    essay_id = None if isinstance(outcome, Refused) else outcome.essay_id
    if essay_id is not None and slots.texts.get(essay_id) == text.storage_id:
        return FileReceipt(file_name=text.name, outcome=_outcome(outcome), essay_id=essay_id)
    if ending is not None:
        # Whether it would have a place matters no more: nothing can be done about it.
        return _refused(text, ending)
    if isinstance(outcome, Refused):
        return FileReceipt(
            file_name=text.name,
            outcome=FileOutcome.REFUSED,
            error=outcome.error,
            reason=outcome.reason.value,
        )
    refused = slots.refusals.get((outcome.essay_id, text.storage_id))
    if refused is not None:  # sent again it would be refused again
        return _refused(text, RefusalReason(refused))
    return FileReceipt(file_name=text.name, outcome=_outcome(outcome), essay_id=essay_id)


def _refused(text: StoredText, reason: RefusalReason) -> FileReceipt:
    return FileReceipt(
        file_name=text.name,
        outcome=FileOutcome.REFUSED,
        error=_SAID[reason].format(name=text.name),
        reason=reason.value,
    )


def _outcome(outcome: Outcome) -> FileOutcome:
    match outcome:
        case Assigned():
            return FileOutcome.ASSIGNED
        case Replaced():
            return FileOutcome.REPLACED
        case _:
            return FileOutcome.UNCHANGED


def _new_text(text: StoredText, essay_id: str, slots: Slots) -> NewText:
    return NewText(
        essay_id=essay_id,
        # One request gives an essay one text at most.
        version=slots.versions.get(essay_id, 0) + 1,
        storage_id=text.storage_id,
        file_name=text.name,
        student_name=student_name_from(text.name),
    )
