"""What ELS hears, and the transaction that makes it count."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from huleedu.core.enums import ProcessingEvent
from huleedu.core.errors import NotFound
from huleedu.core.message import Message
from huleedu.core.metrics import ELS_BATCHES_READY, ELS_CONTENT_REFUSED
from huleedu.core.platform import Platform
from huleedu.core.settings import ElsSettings
from huleedu.core.topics import topic_name
from huleedu.els import speech
from huleedu.els.log import log_skipped, log_students, log_undispatched, log_wishes
from huleedu.els.model import ReadinessDecision
from huleedu.els.phases import Phases
from huleedu.els.reading import (
    cancellation_in,
    command_in,
    content_in,
    correlation_id_of,
    extension_in,
    proceed_in,
    registration_in,
    result_in,
)
from huleedu.els.store import correlation_ids
from huleedu.els.tracker import BatchEssayTracker
from huleedu.els.wishes import Wishes
from huleedu.store.database import Database
from huleedu.transport.consumer import Heard, StoreConsumer
from huleedu.transport.protocol import Subscription

HEARD = (
    ProcessingEvent.BATCH_ESSAYS_REGISTERED,
    ProcessingEvent.ESSAY_CONTENT_READY,
    ProcessingEvent.BATCH_READINESS_EXTENDED,
    ProcessingEvent.BATCH_PROCEED_REQUESTED,
    ProcessingEvent.BATCH_CANCELLED,
    ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND,
    ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED,
)

FETCH_MAX = 2_000
"""How many messages share a transaction.  Applying a text costs 0.7 of the CPU and 0.6 of the time
that it does at 500 (measured with the events of ``bench.workload``): neighbours share rows."""


def subscriptions(
    database: Database, platform: Platform, settings: ElsSettings
) -> Sequence[Subscription]:
    """Return what ELS listens to."""
    handler = EssayLifecycle(
        readiness_timeout=timedelta(seconds=settings.readiness_timeout_seconds),
        log_student_details=settings.log_student_details,
    )
    return [
        Subscription(
            group=settings.consumer_group or "",
            topics=[topic_name(event) for event in HEARD],
            consumer=StoreConsumer(database, handler.apply, platform, "els"),
            store=database,
            batch_max=FETCH_MAX,
        )
    ]


class EssayLifecycle:
    """Applies whole fetches to the store of ELS.

    ``readiness_timeout`` is how long a batch waits whose registration does not say.  What is known
    of a fetch's messages beyond the order in each topic is nothing; they are taken so: what opens
    batches, what stops them, texts, and only then what closes batches without texts.
    """

    def __init__(
        self,
        *,
        readiness_timeout: timedelta = timedelta(days=1),
        log_student_details: bool = False,
    ) -> None:
        self._readiness_timeout = readiness_timeout
        self._log_student_details = log_student_details

    def apply(
        self, connection: sqlite3.Connection, heard: Sequence[Heard], now: datetime
    ) -> Sequence[Message]:
        """Change the state by what was heard; return what ELS says about it.

        Raises ``Rejected`` for a message that breaks a rule: a registration whose count or ids do
        not fit, a command or a result about something that was never ready.  A wish that the state
        of its batch does not allow is skipped and logged.
        """
        # In one pass, by the event: a fetch holds thousands.
        by_event: dict[ProcessingEvent, list[Heard]] = {event: [] for event in HEARD}
        for one in heard:
            by_event[one.event].append(one)
        registered, contents, extended, proceeded, cancelled, commands, results = (
            by_event[event] for event in HEARD
        )
        tracker, wishes = BatchEssayTracker(connection, now), Wishes(connection, now)
        decisions: list[ReadinessDecision] = []
        if registered:
            decisions += self._register(tracker, registered, now)
        if cancelled:
            granted = wishes.cancel([cancellation_in(one) for one in cancelled])
            log_wishes(cancelled, granted)
        if extended:
            granted = wishes.extend([extension_in(one) for one in extended])
            log_wishes(extended, granted)
        if contents:
            if self._log_student_details:
                log_students(contents)
            decisions += tracker.mark_essay_ready([content_in(one) for one in contents])
        if proceeded:
            granted = wishes.proceed([proceed_in(one) for one in proceeded])
            log_wishes(proceeded, granted)
            decisions += granted
        said = _said_of(connection, tracker, decisions, now)
        if commands:
            said += self._commands(connection, commands, now)
        if results:
            said += self._results(connection, results, now)
        return said

    def _register(
        self, tracker: BatchEssayTracker, registered: Sequence[Heard], now: datetime
    ) -> Sequence[ReadinessDecision]:
        correlation = {one.batch_id: correlation_id_of(one) for one in reversed(registered)}
        deadline = now + self._readiness_timeout
        return tracker.register_batch(
            [registration_in(one, now, deadline) for one in registered], correlation
        )

    def _commands(
        self, connection: sqlite3.Connection, commands: Sequence[Heard], now: datetime
    ) -> list[Message]:
        phases = Phases(connection, now)
        said: list[Message] = []
        for one in commands:
            command = command_in(one)
            if phases.is_cancelled(command.batch_id):
                log_skipped(one, "the batch is cancelled")
                continue
            current = phases.attempt_of(command.batch_id)
            if current is None:
                raise NotFound(f"a command about batch {command.batch_id!r}, which is not ready")
            dispatches = phases.start(command, current)
            if dispatches is None:
                log_skipped(one, f"attempt {command.attempt} is no new one")
                continue
            correlation = correlation_ids(connection, [command.batch_id])[command.batch_id]
            said += [speech.spellcheck_requested(d, correlation, now) for d in dispatches]
            log_undispatched(one, command, {d.essay_id for d in dispatches})
            # A command that moved no essay is answered at once: nobody waits for ever.
            for conclusion in phases.conclude([command.batch_id]):
                said += speech.phase_concluded(conclusion, correlation, now)
        return said

    def _results(
        self, connection: sqlite3.Connection, results: Sequence[Heard], now: datetime
    ) -> list[Message]:
        phases = Phases(connection, now)
        by_result = [(one, result_in(one)) for one in results]
        essays = phases.essays([(r.batch_id, r.essay_id) for _, r in by_result])
        for _, result in by_result:
            if (result.batch_id, result.essay_id) not in essays:
                raise NotFound(
                    f"a result for essay {result.essay_id!r} of batch {result.batch_id!r}, "
                    "which has no text here"
                )
        skipped, touched = phases.settle([result for _, result in by_result], essays)
        for index, (one, result) in enumerate(by_result):
            if index in skipped:
                log_skipped(one, f"the essay no longer moves to {result.status.value}")
        conclusions = phases.conclude(touched)
        correlation = correlation_ids(connection, [c.batch_id for c in conclusions])
        return [
            message
            for one in conclusions
            for message in speech.phase_concluded(one, correlation[one.batch_id], now)
        ]


def _said_of(
    connection: sqlite3.Connection,
    tracker: BatchEssayTracker,
    decisions: Sequence[ReadinessDecision],
    now: datetime,
) -> list[Message]:
    ready = [decision.view.batch_id for decision in decisions if decision.became_ready]
    refused = [refusal for decision in decisions for refusal in decision.refused]
    if not ready and not refused:
        return []
    correlation = correlation_ids(connection, [*ready, *(r.batch_id for r in refused)])
    texts = tracker.texts(ready)
    ELS_BATCHES_READY.inc(len(ready))
    for refusal in refused:
        ELS_CONTENT_REFUSED.labels(refusal.reason.value).inc()
    said: list[Message] = []
    for batch_id in ready:
        said += speech.batch_essays_ready(batch_id, texts[batch_id], correlation[batch_id], now)
    said += [speech.essay_content_refused(r, correlation[r.batch_id], now) for r in refused]
    return said
