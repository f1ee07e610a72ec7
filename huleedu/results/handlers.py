"""What results hears, and the transaction that makes it count."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from huleedu.core.enums import ProcessingEvent
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.core.settings import ResultsSettings
from huleedu.core.topics import topic_name
from huleedu.results import facts, progress
from huleedu.store.database import Database
from huleedu.transport.consumer import Heard, StoreConsumer
from huleedu.transport.protocol import Subscription

Note = Callable[[sqlite3.Connection, Sequence[Heard]], None]

HEARD: Mapping[ProcessingEvent, Note] = {
    ProcessingEvent.BATCH_ESSAYS_REGISTERED: facts.registered,
    ProcessingEvent.ESSAY_CONTENT_READY: facts.content_ready,
    ProcessingEvent.ESSAY_CONTENT_REFUSED: facts.content_refused,
    ProcessingEvent.BATCH_ESSAYS_READY: facts.batch_ready,
    ProcessingEvent.BATCH_READINESS_TIMEOUT: facts.timed_out,
    ProcessingEvent.BATCH_READINESS_EXTENDED: facts.extended,
    ProcessingEvent.BATCH_PROCEED_REQUESTED: facts.proceeded,
    ProcessingEvent.BATCH_CANCELLED: facts.cancelled,
    ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED: facts.spellcheck_requested,
    ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED: facts.result_received,
    ProcessingEvent.BATCH_PHASE_CONCLUDED: facts.phase_concluded,
}


def subscriptions(
    database: Database, platform: Platform, settings: ResultsSettings
) -> Sequence[Subscription]:
    """Return what results listens to: everything but the command."""
    return [
        Subscription(
            group=settings.consumer_group or "",
            topics=[topic_name(event) for event in HEARD],
            consumer=StoreConsumer(database, apply, platform, "results"),
            store=database,
        )
    ]


def apply(
    connection: sqlite3.Connection, heard: Sequence[Heard], now: datetime
) -> Sequence[Message]:
    """Note everything that was heard; nothing follows from it."""
    facts.touched(connection, heard)
    for event, note in HEARD.items():
        of_this_kind = [one for one in heard if one.event is event]
        if of_this_kind:
            note(connection, of_this_kind)
    progress.note(connection, heard, now)
    return ()
