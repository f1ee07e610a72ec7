"""What BOS hears: one transaction for each fetch, decided batch by batch."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from huleedu.bos.attempts import keep_failed_essay_ids, keep_ready_essays, load_retried_ids
from huleedu.bos.decide import counts_for, decide
from huleedu.bos.model import (
    Batch,
    Decision,
    EssaysReady,
    Fact,
    PhaseConcluded,
    ReadinessTimedOut,
    ResultsCounted,
)
from huleedu.bos.references import (
    NO_REFERENCES,
    References,
    ReferenceSeeker,
    references_in,
)
from huleedu.bos.repository import BatchRepositoryProtocol, FirstResult
from huleedu.bos.speech import spellcheck_command
from huleedu.bos.store import SqliteBatchRepository
from huleedu.core.enums import EssayStatus
from huleedu.core.errors import MalformedMessage, NotFound
from huleedu.core.logging import create_service_logger, log_event_processing
from huleedu.core.message import Message
from huleedu.core.messages import (
    BatchEssaysReady,
    BatchReadinessTimeout,
    ELSBatchPhaseOutcomeV1,
    SpellcheckResultDataV1,
)
from huleedu.core.platform import Platform
from huleedu.core.ports import EssayReferences
from huleedu.core.settings import Settings
from huleedu.store.database import Database
from huleedu.transport.consumer import Heard, StoreConsumer
from huleedu.transport.hearing import Hearing, On
from huleedu.transport.protocol import Consumer, Subscription

_logger = create_service_logger("bos")


class UnknownBatch(NotFound):
    """The batch that a message is about was never registered here."""


def subscriptions(
    database: Database, platform: Platform, settings: Settings, references: EssayReferences
) -> Sequence[Subscription]:
    """Return what BOS hears, as its consumer group.

    ``references`` is asked where an event does not say where the texts are.
    """
    group = settings.bos.consumer_group
    assert group is not None, "BOS has a consumer group by default"

    def knowing(found: References) -> Consumer:
        return StoreConsumer(database, partial(apply, references=found), platform, "bos")

    consumer = ReferenceSeeker(references, knowing)
    return [Subscription(group, HEARING.topics, consumer, store=database)]


def apply(
    connection: sqlite3.Connection,
    heard: Sequence[Heard],
    now: datetime,
    references: References = NO_REFERENCES,
) -> Sequence[Message]:
    """Change the batches by what was heard and return the commands that follow.

    ``references`` are those of batches whose readiness came without.  Raises ``UnknownBatch``,
    ``ReferencesMissing``, ``UnknownAttempt``, ``MalformedMessage``: then nothing of the fetch may
    be kept.
    """
    repository = SqliteBatchRepository(connection)
    before = _load(repository, heard)
    after = dict(before)
    said: list[Message] = []
    for one, fact in _Fetch(connection, before, references).facts(heard):
        decision = decide(after[one.batch_id], fact, now)
        after[one.batch_id] = decision.batch
        _log(one, decision)
        if decision.to_spellcheck:
            command = spellcheck_command(decision.batch, decision.to_spellcheck, now, one.message)
            said.append(command)
        _keep_essays(connection, fact, decision)
    repository.save_processing_pipeline_state(
        batch for batch_id, batch in after.items() if batch is not before[batch_id]
    )
    return said


def _keep_essays(connection: sqlite3.Connection, fact: Fact, decision: Decision) -> None:
    """Keep what a retry will need, and readers want to know."""
    if isinstance(fact, EssaysReady):
        keep_ready_essays(connection, decision.batch.batch_id, fact.essays)
    elif isinstance(fact, PhaseConcluded) and decision.concluded:
        keep_failed_essay_ids(connection, decision.batch, fact.failed_essay_ids)


def _load(repository: BatchRepositoryProtocol, heard: Sequence[Heard]) -> Mapping[str, Batch]:
    batches = repository.load_batches({one.batch_id for one in heard})
    for one in heard:
        if one.batch_id not in batches:
            raise UnknownBatch(
                f"{one.event.value} {one.envelope.event_id} is about batch {one.batch_id!r}, "
                "which was never registered here"
            )
    return batches


@dataclass
class _Fetch:
    """The facts that the messages of a fetch come to; ``batches`` are as they were before it."""

    connection: sqlite3.Connection
    batches: Mapping[str, Batch]
    references: References
    _found: list[tuple[Heard, Fact]] = field(default_factory=list)

    def facts(self, heard: Sequence[Heard]) -> Sequence[tuple[Heard, Fact]]:
        """Return the facts in order; the results of a batch as one, where its last one stands."""
        HEARING.take(self, heard)
        places = {id(one): place for place, one in enumerate(heard)}
        return sorted(self._found, key=lambda pair: places[id(pair[0])])

    def ready(self, heard: Sequence[Heard[BatchEssaysReady]]) -> None:
        self._found += [
            (one, EssaysReady(references_in(one.data, self.references))) for one in heard
        ]

    def timed_out(self, heard: Sequence[Heard[BatchReadinessTimeout]]) -> None:
        for one in heard:
            missing = tuple(one.data.missing_essay_ids)
            self._found.append((one, ReadinessTimedOut(one.data.metadata.timestamp, missing)))

    def results(self, heard: Sequence[Heard[SpellcheckResultDataV1]]) -> None:
        counted = _count_results(self.connection, self.batches, heard)
        last = {one.batch_id: one for one in heard}
        self._found += [(last[batch_id], fact) for batch_id, fact in counted.items()]

    def concluded(self, heard: Sequence[Heard[ELSBatchPhaseOutcomeV1]]) -> None:
        self._found += [(one, _phase_concluded(one)) for one in heard]


HEARING = Hearing[_Fetch](
    On(BatchEssaysReady, _Fetch.ready),
    On(BatchReadinessTimeout, _Fetch.timed_out),
    On(SpellcheckResultDataV1, _Fetch.results),
    On(ELSBatchPhaseOutcomeV1, _Fetch.concluded),
)


def _count_results(
    connection: sqlite3.Connection,
    batches: Mapping[str, Batch],
    heard: Sequence[Heard[SpellcheckResultDataV1]],
) -> Mapping[str, ResultsCounted]:
    repository = SqliteBatchRepository(connection)
    results = [
        FirstResult(
            one.batch_id,
            batches[one.batch_id].attempt,
            one.data.essay_id,
            one.data.status is EssayStatus.SPELLCHECKED_SUCCESS,
        )
        for one in heard
        if counts_for(batches[one.batch_id], one.attempt)
    ]
    registered = repository.load_essay_ids({result.batch_id for result in results})
    for result in results:
        if result.essay_id not in registered[result.batch_id]:
            raise MalformedMessage(
                f"a result of essay {result.essay_id!r}, which batch {result.batch_id} has not"
            )
    # A checker that names no attempt may repeat what it said of an essay that is not checked again.
    retried = load_retried_ids(connection, [batches[batch_id] for batch_id in registered])
    return repository.count_first_results(
        [one for one in results if one.essay_id in retried.get(one.batch_id, (one.essay_id,))]
    )


def _phase_concluded(one: Heard[ELSBatchPhaseOutcomeV1]) -> PhaseConcluded:
    data = one.data
    return PhaseConcluded(
        one.attempt or 1,
        data.phase_status,
        len(data.processed_essays),
        len(data.failed_essay_ids),
        tuple(data.failed_essay_ids),
    )


def _log(heard: Heard, decision: Decision) -> None:
    # Told before the commit: should that fail, the repeat tells it again.
    if decision.skipped is not None:
        outcome = "event_skipped"
    elif decision.to_spellcheck:
        outcome = "spellcheck_commanded"
    elif decision.concluded:
        outcome = "batch_concluded"
    else:
        return
    batch = decision.batch
    log_event_processing(
        _logger,
        outcome,
        event_type=heard.envelope.event_type,
        event_id=str(heard.envelope.event_id),
        correlation_id=str(batch.correlation_id),
        batch_id=batch.batch_id,
        status=batch.status.value,
        attempt=batch.attempt,
        reason=decision.skipped,
    )
