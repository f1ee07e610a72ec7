"""What files hears, and how it counts."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from huleedu.core.enums import ProcessingEvent, RefusalReason
from huleedu.core.logging import create_service_logger, log_event_processing
from huleedu.core.message import Message
from huleedu.core.messages import (
    BatchCancelled,
    BatchEssaysRegistered,
    BatchProceedRequested,
    EssayContentRefused,
)
from huleedu.core.platform import Platform
from huleedu.core.settings import FilesSettings
from huleedu.core.topics import topic_name
from huleedu.files.model import Registration
from huleedu.files.store import add_registrations, note_endings, note_refusal
from huleedu.store.database import Database
from huleedu.transport.consumer import Heard, StoreConsumer
from huleedu.transport.protocol import Subscription

HEARD = (
    ProcessingEvent.BATCH_ESSAYS_REGISTERED,
    ProcessingEvent.ESSAY_CONTENT_REFUSED,
    ProcessingEvent.BATCH_PROCEED_REQUESTED,
    ProcessingEvent.BATCH_CANCELLED,
)

_logger = create_service_logger("files")


def subscriptions(
    database: Database, platform: Platform, settings: FilesSettings
) -> Sequence[Subscription]:
    """Return what files listens to."""
    return [
        Subscription(
            group=settings.consumer_group or "",
            topics=[topic_name(event) for event in HEARD],
            consumer=StoreConsumer(database, apply, platform, "files"),
            store=database,
        )
    ]


def apply(
    connection: sqlite3.Connection, heard: Sequence[Heard], now: datetime
) -> Sequence[Message]:
    """Learn registrations, refusals, and which batches take no more texts; nothing follows."""
    registered = [_registration(o) for o in heard if isinstance(o.data, BatchEssaysRegistered)]
    add_registrations(connection, registered, now)
    for one in heard:
        if isinstance(one.data, EssayContentRefused):
            _note_refusal(connection, one, one.data)
    note_endings(connection, [(o.batch_id, why) for o in heard if (why := _ending(o)) is not None])
    return []


def _ending(one: Heard) -> RefusalReason | None:
    """Return why the batch takes no more texts after this, if it is about that.

    A text of any essay that comes too late tells the same of all others.
    """
    match one.data:
        case BatchCancelled():
            return RefusalReason.BATCH_CANCELLED
        case BatchProceedRequested():
            return RefusalReason.BATCH_CLOSED
        case EssayContentRefused(reason=reason) if reason is not RefusalReason.NOT_REGISTERED:
            return reason
        case _:
            return None


def _registration(one: Heard) -> Registration:
    data = one.data
    assert isinstance(data, BatchEssaysRegistered)
    return Registration(one.batch_id, one.envelope.correlation_id, data.essay_ids)


def _note_refusal(connection: sqlite3.Connection, one: Heard, refused: EssayContentRefused) -> None:
    # A text that came from elsewhere (BOS sends some itself) may be refused as well.
    is_ours = note_refusal(
        connection, one.batch_id, refused.essay_id, refused.storage_id, refused.reason.value
    )
    correlation_id = one.envelope.correlation_id
    log_event_processing(
        _logger,
        "text_refused" if is_ours else "text_of_others_refused",
        event_type=one.envelope.event_type,
        event_id=str(one.envelope.event_id),
        correlation_id=None if correlation_id is None else str(correlation_id),
        batch_id=one.batch_id,
        essay_id=refused.essay_id,
        reason=refused.reason.value,
    )
