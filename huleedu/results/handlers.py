"""What results hears, and the transaction that makes it count."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from huleedu.core.message import Message
from huleedu.core.messages import (
    BatchCancelled,
    BatchEssaysReady,
    BatchEssaysRegistered,
    BatchProceedRequested,
    BatchReadinessExtended,
    BatchReadinessTimeout,
    ELSBatchPhaseOutcomeV1,
    EssayContentReady,
    EssayContentRefused,
    EssayLifecycleSpellcheckRequestV1,
    SpellcheckResultDataV1,
)
from huleedu.core.platform import Platform
from huleedu.core.settings import ResultsSettings
from huleedu.results import facts, progress
from huleedu.store.database import Database
from huleedu.transport.consumer import Heard, StoreConsumer
from huleedu.transport.hearing import Hearing, On
from huleedu.transport.protocol import Subscription

HEARING = Hearing[sqlite3.Connection](
    On(BatchEssaysRegistered, facts.registered),
    On(EssayContentReady, facts.content_ready),
    On(EssayContentRefused, facts.content_refused),
    On(BatchEssaysReady, facts.batch_ready),
    On(BatchReadinessTimeout, facts.timed_out),
    On(BatchReadinessExtended, facts.extended),
    On(BatchProceedRequested, facts.proceeded),
    On(BatchCancelled, facts.cancelled),
    On(EssayLifecycleSpellcheckRequestV1, facts.spellcheck_requested),
    On(SpellcheckResultDataV1, facts.result_received),
    On(ELSBatchPhaseOutcomeV1, facts.phase_concluded),
)


def subscriptions(
    database: Database, platform: Platform, settings: ResultsSettings
) -> Sequence[Subscription]:
    """Return what results listens to: everything but the command."""
    return [
        Subscription(
            group=settings.consumer_group or "",
            topics=HEARING.topics,
            consumer=StoreConsumer(database, apply, platform, "results"),
            store=database,
        )
    ]


def apply(
    connection: sqlite3.Connection, heard: Sequence[Heard], now: datetime
) -> Sequence[Message]:
    """Note everything that was heard; nothing follows from it."""
    facts.touched(connection, heard)
    HEARING.take(connection, heard)
    progress.note(connection, heard, now)
    return ()
