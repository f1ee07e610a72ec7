"""A teacher's action: new state, what is said about it, and the answer become durable as one."""

import sqlite3
from collections.abc import Callable
from datetime import datetime

import msgspec

from huleedu.bos.actions import Action, Refused, Retry, act
from huleedu.bos.answers import find_answer, kept_meanwhile, remember_answer
from huleedu.bos.attempts import keep_retried_essays, load_failed_with_text
from huleedu.bos.idempotency import Answer, KeyedRequest
from huleedu.bos.model import Batch
from huleedu.bos.speech import action_message
from huleedu.bos.store import SqliteBatchRepository
from huleedu.core.errors import Conflict, NotFound
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database

_logger = create_service_logger("bos")


class ActionRefused(Conflict):
    """The batch's state does not allow what was asked; the message tells a teacher why."""


class BatchActions:
    """Extends, proceeds, cancels and retries batches, each keyed request once."""

    def __init__(self, database: Database, platform: Platform) -> None:
        self._database = database
        self._platform = platform

    async def take(
        self, batch_id: str, action: Action, request: KeyedRequest | None = None
    ) -> Answer:
        """Return 202 once the wish, and what is said about it, are on disk.

        A ``Retry`` is filled in: it takes the essays that failed and have a text.  Two at once are
        decided one after the other.  Raises ``NotFound``, ``ActionRefused``, ``KeyReused``,
        ``StoreUnavailable``: then nothing of it happened.
        """
        clock = self._platform.clock
        kept = await self._database.write(lambda db: take(db, batch_id, action, request, clock.now))
        answer = await kept_meanwhile(self._database, kept, request)
        _logger.info("action_taken", action=type(action).__name__.lower(), batch_id=batch_id[:80])
        return answer


def take(
    connection: sqlite3.Connection,
    batch_id: str,
    action: Action,
    request: KeyedRequest | None,
    clock: Callable[[], datetime],
) -> Answer | None:
    """Decide and keep it, in the transaction that ``connection`` is in.

    Returns None when the key was answered meanwhile, by another process.  Raises ``NotFound``,
    ``ActionRefused``.
    """
    if request is not None and find_answer(connection, request) is not None:
        return None
    repository = SqliteBatchRepository(connection)
    before = repository.load_batches([batch_id]).get(batch_id)
    if before is None:
        raise NotFound(f"no batch {batch_id[:80]!r} was registered here")
    if isinstance(action, Retry):
        action = Retry(load_failed_with_text(connection, before))
    now = clock()  # within the transaction, so that times follow one another as the actions do
    decided = act(before, action, now)
    if isinstance(decided, Refused):
        raise ActionRefused(decided.reason)
    batch = decided.batch
    if decided.is_news:
        repository.save_processing_pipeline_state([batch])
        if isinstance(action, Retry):
            keep_retried_essays(connection, batch, action.essays or ())
        outbox.add(connection, [action_message(batch, action, now)], now)
    answer = _accepted(batch)
    if request is not None:
        remember_answer(connection, request, answer, now)
    return answer


def _accepted(batch: Batch) -> Answer:
    told = {
        "batch_id": batch.batch_id,
        "status": batch.status.value,
        "attempt": batch.attempt,
    }
    return Answer(202, msgspec.json.encode(told))
