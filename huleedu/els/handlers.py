"""What ELS hears, and the transaction that makes it count."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from huleedu.core.enums import ContentType, EssayStatus, ProcessingEvent
from huleedu.core.errors import MalformedMessage, NotFound
from huleedu.core.logging import create_service_logger, log_event_processing
from huleedu.core.message import Message
from huleedu.core.messages import (
    BatchEssaysRegistered,
    BatchServiceSpellcheckInitiateCommandDataV1,
    EssayContentReady,
    SpellcheckResultDataV1,
)
from huleedu.core.metrics import ELS_BATCHES_READY, ELS_CONTENT_REFUSED, ELS_TRANSITIONS_SKIPPED
from huleedu.core.platform import Platform
from huleedu.core.settings import ElsSettings
from huleedu.core.topics import topic_name
from huleedu.els import speech
from huleedu.els.model import Content, ReadinessDecision, Registration, Text
from huleedu.els.phases import Command, Phases, Result
from huleedu.els.store import correlation_ids
from huleedu.els.tracker import BatchEssayTracker
from huleedu.store.database import Database
from huleedu.transport.consumer import Heard, StoreConsumer
from huleedu.transport.protocol import Subscription

HEARD = (
    ProcessingEvent.BATCH_ESSAYS_REGISTERED,
    ProcessingEvent.ESSAY_CONTENT_READY,
    ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND,
    ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED,
)

FETCH_MAX = 2_000
"""How many messages share a transaction.  Applying a text costs 0.7 of the CPU and 0.6 of the time
that it does at 500 (measured with the events of ``bench.workload``): neighbours share rows."""

_logger = create_service_logger("els")


def subscriptions(
    database: Database, platform: Platform, settings: ElsSettings
) -> Sequence[Subscription]:
    """Return what ELS listens to."""
    handler = EssayLifecycle(log_student_details=settings.log_student_details)
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
    """Applies whole fetches to the store of ELS."""

    def __init__(self, *, log_student_details: bool = False) -> None:
        self._log_student_details = log_student_details

    def apply(
        self, connection: sqlite3.Connection, heard: Sequence[Heard], now: datetime
    ) -> Sequence[Message]:
        """Change the state by what was heard; return what ELS says about it.

        Raises ``Rejected`` for a message that breaks a rule: a registration whose count or ids do
        not fit, a command or a result about something that was never ready.
        """
        # In one pass, by the event: a fetch holds thousands.
        by_event: dict[ProcessingEvent, list[Heard]] = {event: [] for event in HEARD}
        for one in heard:
            by_event[one.event].append(one)
        registered, contents, commands, results = (by_event[event] for event in HEARD)
        said: list[Message] = []
        if registered or contents:
            said += self._readiness(connection, registered, contents, now)
        if commands:
            said += self._commands(connection, commands, now)
        if results:
            said += self._results(connection, results, now)
        return said

    def _readiness(
        self,
        connection: sqlite3.Connection,
        registered: Sequence[Heard],
        contents: Sequence[Heard],
        now: datetime,
    ) -> list[Message]:
        tracker = BatchEssayTracker(connection, now)
        decisions: list[ReadinessDecision] = []
        if registered:
            correlation = {one.batch_id: _correlation_id(one) for one in reversed(registered)}
            decisions += tracker.register_batch([_registration(o) for o in registered], correlation)
        if contents:
            if self._log_student_details:
                _log_students(contents)
            decisions += tracker.mark_essay_ready([_content(one) for one in contents])
        return _said_of(connection, tracker, decisions, now)

    def _commands(
        self, connection: sqlite3.Connection, commands: Sequence[Heard], now: datetime
    ) -> list[Message]:
        phases = Phases(connection, now)
        said: list[Message] = []
        for one in commands:
            command = _command(one)
            current = phases.attempt_of(command.batch_id)
            if current is None:
                raise NotFound(f"a command about batch {command.batch_id!r}, which is not ready")
            dispatches = phases.start(command, current)
            if dispatches is None:
                _log_skipped(one, f"attempt {command.attempt} is no new one")
                continue
            correlation = correlation_ids(connection, [command.batch_id])[command.batch_id]
            said += [speech.spellcheck_requested(d, correlation, now) for d in dispatches]
            _log_undispatched(one, command, {d.essay_id for d in dispatches})
            # A command that moved no essay is answered at once: nobody waits for ever.
            said += [
                speech.phase_concluded(c, correlation, now)
                for c in phases.conclude([command.batch_id])
            ]
        return said

    def _results(
        self, connection: sqlite3.Connection, results: Sequence[Heard], now: datetime
    ) -> list[Message]:
        phases = Phases(connection, now)
        by_result = [(one, _result(one)) for one in results]
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
                _log_skipped(one, f"the essay no longer moves to {result.status.value}")
        conclusions = phases.conclude(touched)
        correlation = correlation_ids(connection, [c.batch_id for c in conclusions])
        return [speech.phase_concluded(c, correlation[c.batch_id], now) for c in conclusions]


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
    return [
        *(speech.batch_essays_ready(b, texts[b], correlation[b], now) for b in ready),
        *(speech.essay_content_refused(r, correlation[r.batch_id], now) for r in refused),
    ]


def _registration(one: Heard) -> Registration:
    data = one.data
    assert isinstance(data, BatchEssaysRegistered)
    if len(set(data.essay_ids)) != len(data.essay_ids):
        raise MalformedMessage(f"batch {data.batch_id!r} registers an essay id twice")
    if data.expected_essay_count != len(data.essay_ids):
        raise MalformedMessage(
            f"batch {data.batch_id!r} expects {data.expected_essay_count} essays "
            f"and names {len(data.essay_ids)}"
        )
    return Registration(data.batch_id, data.essay_ids)


def _content(one: Heard) -> Content:
    data = one.data
    assert isinstance(data, EssayContentReady)
    text = Text(data.text_storage_id, data.student_name, data.student_email, data.file_name)
    return Content(data.batch_id, data.essay_id, text)


def _command(one: Heard) -> Command:
    data = one.data
    assert isinstance(data, BatchServiceSpellcheckInitiateCommandDataV1)
    essay_ids = [essay.essay_id for essay in data.essays_to_process]
    return Command(one.batch_id, essay_ids, data.language, one.attempt or 1)


def _result(one: Heard) -> Result:
    data = one.data
    assert isinstance(data, SpellcheckResultDataV1)
    corrected_storage_id = data.storage_id(ContentType.CORRECTED_TEXT)
    if data.status is EssayStatus.SPELLCHECKED_SUCCESS and corrected_storage_id is None:
        raise MalformedMessage(
            f"essay {data.essay_id!r} of batch {one.batch_id!r} is said to be checked, "
            "but no corrected text is named"
        )
    return Result(
        batch_id=one.batch_id,
        essay_id=data.essay_id,
        status=data.status,
        attempt=one.attempt,
        corrected_storage_id=corrected_storage_id,
        log_storage_id=data.storage_id(ContentType.PROCESSING_LOG),
    )


def _correlation_id(one: Heard) -> str | None:
    correlation_id = one.envelope.correlation_id
    return None if correlation_id is None else str(correlation_id)


def _log_skipped(one: Heard, why: str) -> None:
    ELS_TRANSITIONS_SKIPPED.labels(one.event.value).inc()
    log_event_processing(
        _logger,
        "transition_skipped",
        event_type=one.envelope.event_type,
        event_id=str(one.envelope.event_id),
        correlation_id=_correlation_id(one),
        batch_id=one.batch_id,
        essay_id=one.essay_id,
        reason=why,
    )


def _log_undispatched(one: Heard, command: Command, dispatched: set[str]) -> None:
    for essay_id in command.essay_ids:
        if essay_id not in dispatched:
            _log_skipped(one, f"essay {essay_id!r} is not in a state to be checked")


def _log_students(contents: Sequence[Heard]) -> None:
    for one in contents:
        data = one.data
        assert isinstance(data, EssayContentReady)
        _logger.info(
            "student_details_received",
            batch_id=data.batch_id,
            essay_id=data.essay_id,
            student_name=data.student_name,
            student_email=data.student_email,
        )
