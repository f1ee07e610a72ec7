"""What files hears, and how it counts."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from huleedu.core.enums import RefusalReason
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
from huleedu.files.model import Registration
from huleedu.files.store import add_registrations, note_endings, note_refusal
from huleedu.store.database import Database
from huleedu.transport.consumer import Heard, StoreConsumer
from huleedu.transport.hearing import Hearing, On
from huleedu.transport.protocol import Subscription

_logger = create_service_logger("files")


def subscriptions(
    database: Database, platform: Platform, settings: FilesSettings
) -> Sequence[Subscription]:
    """Return what files listens to."""
    return [
        Subscription(
            group=settings.consumer_group or "",
            topics=HEARING.topics,
            consumer=StoreConsumer(database, apply, platform, "files"),
            store=database,
        )
    ]


def apply(
    connection: sqlite3.Connection, heard: Sequence[Heard], now: datetime
) -> Sequence[Message]:
    """Learn registrations, refusals, and which batches take no more texts; nothing follows."""
    HEARING.take(_Fetch(connection, now), heard)
    return []


@dataclass(frozen=True)
class _Fetch:
    """What the messages of a fetch are applied to."""

    connection: sqlite3.Connection
    now: datetime

    def registered(self, heard: Sequence[Heard[BatchEssaysRegistered]]) -> None:
        registrations = [
            Registration(one.batch_id, one.envelope.correlation_id, one.data.essay_ids)
            for one in heard
        ]
        add_registrations(self.connection, registrations, self.now)

    def refused(self, heard: Sequence[Heard[EssayContentRefused]]) -> None:
        for one in heard:
            _note_refusal(self.connection, one)
        # A text of any essay that comes too late says the same of all others.
        endings = [
            (one.batch_id, one.data.reason)
            for one in heard
            if one.data.reason is not RefusalReason.NOT_REGISTERED
        ]
        note_endings(self.connection, endings)

    def proceeded(self, heard: Sequence[Heard[BatchProceedRequested]]) -> None:
        self._end(heard, RefusalReason.BATCH_CLOSED)

    def cancelled(self, heard: Sequence[Heard[BatchCancelled]]) -> None:
        self._end(heard, RefusalReason.BATCH_CANCELLED)

    def _end(self, heard: Sequence[Heard], why: RefusalReason) -> None:
        note_endings(self.connection, [(one.batch_id, why) for one in heard])


HEARING = Hearing[_Fetch](
    On(BatchEssaysRegistered, _Fetch.registered),
    On(EssayContentRefused, _Fetch.refused),
    On(BatchProceedRequested, _Fetch.proceeded),
    On(BatchCancelled, _Fetch.cancelled),
)


def _note_refusal(connection: sqlite3.Connection, one: Heard[EssayContentRefused]) -> None:
    # A text that came from elsewhere (BOS sends some itself) may be refused as well.
    refused = one.data
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
