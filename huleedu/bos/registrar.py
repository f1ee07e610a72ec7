"""Registering a batch: context, pipeline state, outbox and answer become durable as one."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from huleedu.bos.answers import find_answer, kept_meanwhile, remember_answer
from huleedu.bos.api_models import BatchRegistrationRequestV1
from huleedu.bos.idempotency import Answer, KeyedRequest
from huleedu.bos.model import Batch
from huleedu.bos.registration import content_ready_message, new_batch, registered_message
from huleedu.bos.store import SqliteBatchRepository
from huleedu.core.enums import Language
from huleedu.core.ids import StorageId
from huleedu.core.logging import create_service_logger
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database

_logger = create_service_logger("bos")
_NO_TEXTS: Mapping[str, StorageId] = {}


class BatchRegistrar:
    """Registers batches, each keyed request once."""

    def __init__(
        self, database: Database, platform: Platform, courses: Mapping[str, Language]
    ) -> None:
        self._database = database
        self._platform = platform
        self._courses = courses

    async def register(
        self,
        registration: BatchRegistrationRequestV1,
        correlation_id: UUID,
        request: KeyedRequest | None = None,
        texts: Mapping[str, StorageId] = _NO_TEXTS,
    ) -> Answer:
        """Return 202 once the batch and what is said about it are on disk.

        ``texts`` are essays whose texts are stored already: their content is said to be ready.
        Raises ``UnknownCourse``, ``TooLarge``, ``KeyReused``, and ``StoreUnavailable``: then
        nothing of it happened.
        """
        now = self._platform.clock.now()
        batch_id = str(self._platform.ids.new())
        batch = new_batch(batch_id, correlation_id, registration, self._courses, now)
        said = [
            registered_message(batch, registration, now),
            *(content_ready_message(batch, *text, now) for text in texts.items()),
        ]
        kept = await self._database.write(
            lambda db: _register(db, batch, registration, said, request, now)
        )
        answer = await kept_meanwhile(self._database, kept, request)
        if kept is None:
            return answer
        _logger.info(
            "batch_registered",
            batch_id=batch_id,
            correlation_id=str(correlation_id),
            essays=batch.essay_count,
            course_code=registration.course_code,
        )
        return answer


def _register(
    connection: sqlite3.Connection,
    batch: Batch,
    registration: BatchRegistrationRequestV1,
    said: Sequence[Message],
    request: KeyedRequest | None,
    now: datetime,
) -> Answer | None:
    """Keep it all, or return None when the key was answered meanwhile, by another process."""
    if request is not None and find_answer(connection, request) is not None:
        return None
    SqliteBatchRepository(connection).store_batch_context(batch, registration, now)
    outbox.add(connection, said, now)
    answer = _accepted(batch)
    if request is not None:
        remember_answer(connection, request, answer, now)
    return answer


def _accepted(batch: Batch) -> Answer:
    told = {
        "batch_id": batch.batch_id,
        "correlation_id": str(batch.correlation_id),
        "status": "registered",
    }
    return Answer(202, msgspec.json.encode(told))
