"""What ELS hears, and the transaction that makes it count."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from huleedu.core.errors import NotFound
from huleedu.core.message import Message
from huleedu.core.messages import (
    BatchCancelled,
    BatchEssaysRegistered,
    BatchProceedRequested,
    BatchReadinessExtended,
    BatchServiceSpellcheckInitiateCommandDataV1,
    EssayContentReady,
    SpellcheckResultDataV1,
)
from huleedu.core.metrics import ELS_BATCHES_READY
from huleedu.core.platform import Platform
from huleedu.core.settings import ElsSettings
from huleedu.els import speech
from huleedu.els.log import (
    log_refused,
    log_registrations,
    log_repeated,
    log_skipped,
    log_students,
    log_unchanged,
    log_undispatched,
)
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
from huleedu.transport.hearing import Hearing, On
from huleedu.transport.protocol import Subscription

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
        phase_timeout=timedelta(seconds=settings.phase_timeout_seconds),
    )
    return [
        Subscription(
            group=settings.consumer_group or "",
            topics=HEARING.topics,
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
        phase_timeout: timedelta = timedelta(minutes=15),
    ) -> None:
        self._phase_timeout = phase_timeout
        self._readiness_timeout = readiness_timeout
        self._log_student_details = log_student_details

    def apply(
        self, connection: sqlite3.Connection, heard: Sequence[Heard], now: datetime
    ) -> Sequence[Message]:
        """Change the state by what was heard; return what ELS says about it.

        Raises ``NotFound`` for a command or a result about something that was never ready.  A wish
        that the state of its batch does not allow is skipped and logged, and so is a repeat.
        """
        deadline = now + self._readiness_timeout
        fetch = _Fetch(connection, now, deadline, self._phase_timeout, self._log_student_details)
        HEARING.take(fetch, heard)
        return [*fetch.readiness(), *fetch.said]


class _Fetch:
    """What the messages of a fetch are applied to, and what follows from them.

    ``deadline`` is until when a batch waits whose registration does not say.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        now: datetime,
        deadline: datetime,
        phase_timeout: timedelta,
        log_student_details: bool,
    ) -> None:
        self.said: list[Message] = []
        """What the phase says."""
        self._connection = connection
        self._now = now
        self._deadline = deadline
        self._phase_timeout = phase_timeout
        self._log_student_details = log_student_details
        self._tracker = BatchEssayTracker(connection, now)
        self._wishes = Wishes(connection, now)
        self._phases = Phases(connection, now)
        self._decisions: list[ReadinessDecision] = []

    def registered(self, heard: Sequence[Heard[BatchEssaysRegistered]]) -> None:
        correlation = {one.batch_id: correlation_id_of(one) for one in reversed(heard)}
        registrations = [registration_in(one, self._now, self._deadline) for one in heard]
        decisions = self._tracker.register_batch(registrations, correlation)
        log_registrations(heard, decisions)
        self._decisions += decisions

    def cancelled(self, heard: Sequence[Heard[BatchCancelled]]) -> None:
        log_unchanged(heard, self._wishes.cancel([cancellation_in(one) for one in heard]))

    def extended(self, heard: Sequence[Heard[BatchReadinessExtended]]) -> None:
        log_unchanged(heard, self._wishes.extend([extension_in(one) for one in heard]))

    def content_ready(self, heard: Sequence[Heard[EssayContentReady]]) -> None:
        log_students(heard, with_details=self._log_student_details)
        contents = [content_in(one) for one in heard]
        decisions = self._tracker.mark_essay_ready(contents)
        log_repeated(heard, contents, decisions)
        self._decisions += decisions

    def proceeded(self, heard: Sequence[Heard[BatchProceedRequested]]) -> None:
        granted = self._wishes.proceed([proceed_in(one) for one in heard])
        log_unchanged(heard, granted)
        self._decisions += granted

    def readiness(self) -> Sequence[Message]:
        """Return what is said of the batches that became ready and the texts that came too late."""
        decisions = self._decisions
        ready = [decision.view.batch_id for decision in decisions if decision.became_ready]
        refused = [refusal for decision in decisions for refusal in decision.refused]
        if not ready and not refused:
            return []
        batch_ids = [*ready, *(refusal.batch_id for refusal in refused)]
        correlation = correlation_ids(self._connection, batch_ids)
        texts = self._tracker.texts(ready)
        ELS_BATCHES_READY.inc(len(ready))
        said: list[Message] = []
        for one in ready:
            said += speech.batch_essays_ready(one, texts[one], correlation[one], self._now)
        for refusal in refused:
            log_refused(refusal, correlation[refusal.batch_id])
            said.append(
                speech.essay_content_refused(refusal, correlation[refusal.batch_id], self._now)
            )
        return said

    def commanded(
        self, heard: Sequence[Heard[BatchServiceSpellcheckInitiateCommandDataV1]]
    ) -> None:
        for one in heard:
            self._command(one)

    def _command(self, one: Heard[BatchServiceSpellcheckInitiateCommandDataV1]) -> None:
        command, phases = command_in(one), self._phases
        if phases.is_cancelled(command.batch_id):
            log_skipped(one, "the batch is cancelled")
            return
        current = phases.attempt_of(command.batch_id)
        if current is None:
            raise NotFound(f"a command about batch {command.batch_id!r}, which is not ready")
        dispatches = phases.start(command, current)
        if dispatches is None:
            log_skipped(one, f"attempt {command.attempt} is no new one")
            return
        correlation = correlation_ids(self._connection, [command.batch_id])[command.batch_id]
        self.said += [
            speech.spellcheck_requested(d, correlation, self._now, self._phase_timeout)
            for d in dispatches
        ]
        log_undispatched(one, command, {d.essay_id for d in dispatches})
        # A command that moved no essay is answered at once: nobody waits for ever.
        self._conclude([command.batch_id])

    def results(self, heard: Sequence[Heard[SpellcheckResultDataV1]]) -> None:
        by_result = [(one, result_in(one)) for one in heard]
        essays = self._phases.essays([(r.batch_id, r.essay_id) for _, r in by_result])
        for _, result in by_result:
            if (result.batch_id, result.essay_id) not in essays:
                raise NotFound(
                    f"a result for essay {result.essay_id!r} of batch {result.batch_id!r}, "
                    "which has no text here"
                )
        skipped, touched = self._phases.settle([result for _, result in by_result], essays)
        for index, (one, result) in enumerate(by_result):
            if index in skipped:
                log_skipped(one, f"the essay no longer moves to {result.status.value}")
        self._conclude(touched)

    def _conclude(self, batch_ids: Sequence[str]) -> None:
        conclusions = self._phases.conclude(batch_ids)
        correlation = correlation_ids(self._connection, [one.batch_id for one in conclusions])
        for one in conclusions:
            self.said += speech.phase_concluded(one, correlation[one.batch_id], self._now)


HEARING = Hearing[_Fetch](
    On(BatchEssaysRegistered, _Fetch.registered),
    On(BatchCancelled, _Fetch.cancelled),
    On(BatchReadinessExtended, _Fetch.extended),
    On(EssayContentReady, _Fetch.content_ready),
    On(BatchProceedRequested, _Fetch.proceeded),
    On(BatchServiceSpellcheckInitiateCommandDataV1, _Fetch.commanded),
    On(SpellcheckResultDataV1, _Fetch.results),
)
