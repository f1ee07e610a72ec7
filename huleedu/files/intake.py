"""One upload from its form to its receipts: read, store, place.

Nothing of an upload counts before its one transaction.  Texts that were stored for one that did
not get that far are found again by the next attempt: equal texts have equal ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import anyio

from huleedu.core.errors import HuleEduError, TooLarge
from huleedu.core.ids import StorageId
from huleedu.core.logging import create_service_logger
from huleedu.core.metrics import FILES_RECEIVED
from huleedu.core.platform import Platform
from huleedu.core.ports import ContentClient
from huleedu.core.settings import FilesSettings, Limits
from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.model import (
    FileOutcome,
    FileReceipt,
    IncomingFile,
    Registration,
    StoredText,
)
from huleedu.files.placing import place_texts
from huleedu.files.registrations import Registrations
from huleedu.files.sandbox import Extractor
from huleedu.files.sizes import in_megabytes
from huleedu.store.database import Database

_STORING_MAX = 8
"""Texts of one upload on their way into the content store; those that wait share a commit."""

TOO_LARGE = "too_large"
"""The reason of a file over the limit."""

_logger = create_service_logger("files")


@dataclass(frozen=True)
class Receipt:
    """What the sender of an upload is told: one receipt a file, in order."""

    registration: Registration
    files: Sequence[FileReceipt]


class Intake:
    """Takes uploads."""

    def __init__(
        self,
        database: Database,
        platform: Platform,
        settings: FilesSettings,
        limits: Limits,
        content: ContentClient,
        extractor: Extractor,
    ) -> None:
        self._database = database
        self._platform = platform
        self._limits = limits
        self._content = content
        self._extractor = extractor
        self._registrations = Registrations(database, settings.registration_wait_seconds)
        # Of all uploads together so many files are in memory at once.
        self._reading = anyio.CapacityLimiter(settings.extraction_processes)

    async def take(self, batch_id: str, files: Sequence[IncomingFile], request_id: UUID) -> Receipt:
        """Return what became of each file once all of it is on disk.

        The same upload again changes nothing.

        Raises:
            NotFound: the batch is not known, or not yet.
            Unavailable: a store, or extraction; nothing was done.
        """
        registration = await self._registrations.expect(batch_id)
        read = await self._read_all(files)
        stored = [text for text in read if isinstance(text, StoredText)]
        now = self._platform.clock.now()
        placed = iter(
            await self._database.write(lambda db: place_texts(db, registration, stored, now))
        )
        receipts = [next(placed) if isinstance(one, StoredText) else one for one in read]
        _tell(registration, receipts, request_id)
        return Receipt(registration, receipts)

    async def _read_all(self, files: Sequence[IncomingFile]) -> Sequence[StoredText | FileReceipt]:
        """Return each file's stored text, or why it has none, in order."""
        read: dict[int, StoredText | FileReceipt] = {}
        faults: list[HuleEduError] = []
        waiting = iter(enumerate(files))

        async def work(scope: anyio.CancelScope) -> None:
            for place, file in waiting:
                try:
                    read[place] = await self._read(file)
                except HuleEduError as fault:  # raised below: a task group would wrap it
                    faults.append(fault)
                    scope.cancel()

        async with anyio.create_task_group() as tasks:
            for _ in range(min(_STORING_MAX, len(files))):
                tasks.start_soon(work, tasks.cancel_scope)
        if faults:
            raise faults[0]
        return [read[place] for place in range(len(files))]

    async def _read(self, file: IncomingFile) -> StoredText | FileReceipt:
        if file.fault is not None:
            return _unreadable(file, str(file.fault), file.fault.reason.value)
        if file.content is None:
            error = (
                f"“{file.name}” is larger than {in_megabytes(self._limits.file_bytes)}. "
                "Take its pictures out, or save its text alone, and upload it again."
            )
            return _unreadable(file, error, TOO_LARGE)
        try:
            async with self._reading:
                text = await self._extractor(file.name, await file.content())
            storage_id = await self._store(file, text)
        except Unreadable as fault:
            return _unreadable(file, str(fault), fault.reason.value)
        return StoredText(file.name, file.essay_id, storage_id)

    async def _store(self, file: IncomingFile, text: str) -> StorageId:
        try:
            return await self._content.put(text.encode())
        except TooLarge as error:
            detail = in_megabytes(self._limits.text_bytes)
            raise Unreadable(file.name, UnreadableReason.TOO_MUCH_TEXT, detail) from error


def _unreadable(file: IncomingFile, error: str, reason: str) -> FileReceipt:
    return FileReceipt(
        file_name=file.name, outcome=FileOutcome.UNREADABLE, error=error, reason=reason
    )


def _tell(registration: Registration, receipts: Sequence[FileReceipt], request_id: UUID) -> None:
    """Count and log what became of the files.

    Neither their names, often a pupil's, nor the ids of their essays, which may be one, are in the
    log above DEBUG.
    """
    batch_id, correlation_id = registration.batch_id, registration.correlation_id
    about = {
        "batch_id": batch_id,
        "correlation_id": None if correlation_id is None else str(correlation_id),
        "request_id": str(request_id),
    }
    for receipt in receipts:
        FILES_RECEIVED.labels(receipt.outcome.value).inc()
        _logger.info(
            "file_received",
            outcome=receipt.outcome.value,
            reason=receipt.reason,
            **about,
        )
        if receipt.essay_id is not None:
            _logger.debug("file_of_essay", essay_id=receipt.essay_id, **about)
    _logger.info("upload_received", files=len(receipts), **about)
