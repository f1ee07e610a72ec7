"""Live progress of one batch as server-sent events.

The store is the queue: a reader holds nothing but the id of the last event it was sent, so that a
slow one costs no memory, and one that was cut off goes on where it was.
"""

import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Protocol

import anyio
import msgspec

from huleedu.core.clock import Clock
from huleedu.core.errors import Unavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.metrics import RESULTS_STREAMS
from huleedu.core.platform import Platform
from huleedu.core.ports import Accepted
from huleedu.results.decide import NOTHING_ACCEPTED
from huleedu.results.model import BatchView, EssayView
from huleedu.results.progress import ProgressEvent, events_after, last_id
from huleedu.results.views import view
from huleedu.store.database import Database

SLICE_EVENTS = 100
"""Events that are read, and held for a reader, at once."""
PAUSE_SECONDS = 0.1
PAUSE_SECONDS_PER_ESSAY = 0.001
"""Between two reads for one reader, the longer of both: what happens meanwhile comes together.

A read folds the whole batch (about 20 µs of processor time an essay, measured on 1,000), so that
one reader costs some 2 % of a processor, however large the batch.
"""
POLL_SECONDS = 5.0
"""How often to look without being woken: another process may have written."""
RETRY_MILLISECONDS = 2_000
"""When a reader that was cut off is to come again."""
# No empty line after a comment: some readers would take it for the end of an empty event.
HEARTBEAT = b": still here\n"

_logger = create_service_logger("results")


class Stopping(Protocol):
    """Set once, when the process is about to stop."""

    def is_set(self) -> bool:
        """Tell whether it was set."""
        ...

    async def wait(self) -> object:
        """Return when it is set."""
        ...


class Commits:
    """Lets readers wait for the next commit of a store."""

    def __init__(self, database: Database) -> None:
        self._next: anyio.Event | None = None
        database.after_commit(self._announce)

    def next(self) -> anyio.Event:
        """Return what is set by the next commit; take it before looking, or miss one."""
        if self._next is None:
            self._next = anyio.Event()
        return self._next

    def _announce(self) -> None:
        if self._next is not None:
            self._next.set()
            self._next = None


class Slice(msgspec.Struct, frozen=True):
    """What there is to be sent: events, and the batch after them; None where nothing is new."""

    events: tuple[ProgressEvent, ...]
    batch: BatchView | None


Expected = Callable[[], Awaitable[Accepted]]
"""Returns what was accepted of a batch by now; raises nothing."""


async def _nothing_accepted() -> Accepted:
    return NOTHING_ACCEPTED


class ProgressReader:
    """Reads the progress of one batch."""

    def __init__(
        self,
        database: Database,
        platform: Platform,
        batch_id: str,
        expected: Expected = _nothing_accepted,
    ) -> None:
        """``expected`` tells what is to be heard before the batch can be finished."""
        self._database = database
        self._platform = platform
        self._batch_id = batch_id
        self._expected = expected

    async def start(self) -> tuple[BatchView, int]:
        """Return the batch, and the id of its last event at that moment.

        Raises ``NotFound``, ``StoreUnavailable``.
        """
        now, accepted = self._platform.clock.now(), await self._expected()
        return await self._database.read(
            lambda db: (view(db, self._batch_id, now, accepted), last_id(db, self._batch_id))
        )

    async def after(self, last: int, *, always: bool) -> Slice:
        """Return the next events after ``last``; the batch only with them, or ``always``."""
        now, accepted = self._platform.clock.now(), await self._expected()

        def query(connection: sqlite3.Connection) -> Slice:
            events = tuple(events_after(connection, self._batch_id, last, SLICE_EVENTS))
            wanted = always or bool(events)
            if not wanted:
                return Slice(events, None)
            return Slice(events, view(connection, self._batch_id, now, accepted))

        return await self._database.read(query)


async def follow(
    reader: ProgressReader,
    started: tuple[BatchView, int],
    commits: Commits,
    clock: Clock,
    stopping: Stopping,
    *,
    last_event_id: int | None,
    heartbeat_seconds: float,
) -> AsyncGenerator[bytes, None]:
    """Yield the batch's progress until it is finished or the process stops.

    ``started`` is what ``reader.start`` answered.  Without ``last_event_id`` (or with one that
    this store never gave) a ``snapshot`` comes first; then every event after it, each once:
    ``essay`` or ``batch``, at last ``done``.  The data of an event tells how things stand when it
    is sent, not when it happened.  Ends early when the store cannot be read: the reader comes
    again and goes on from the last id it saw.
    """
    batch, newest = started
    last = newest if last_event_id is None or last_event_id > newest else last_event_id
    with _counted():
        yield f"retry: {RETRY_MILLISECONDS}\n".encode()  # a line of the event that comes next
        if last_event_id != last:
            yield encode_event(last, "snapshot", _standing(batch))
        try:
            async with aclosing(
                _changes(reader, last, commits, clock, stopping, heartbeat_seconds)
            ) as changes:
                async for change in changes:
                    yield change
        except Unavailable as error:
            _logger.warning("stream_broken_off", batch_id=batch.batch_id, reason=str(error))


async def _changes(
    reader: ProgressReader,
    last: int,
    commits: Commits,
    clock: Clock,
    stopping: Stopping,
    heartbeat_seconds: float,
) -> AsyncGenerator[bytes, None]:
    quiet_since, always = clock.monotonic(), True
    while not stopping.is_set():
        commit = commits.next()
        found = await reader.after(last, always=always)
        for event in found.events:
            assert found.batch is not None
            last = event.id
            yield _change(event, found.batch)
        if len(found.events) == SLICE_EVENTS:
            always = True
            continue
        if found.batch is not None and found.batch.is_finished:
            yield encode_event(last, "done", _standing(found.batch))
            return
        if found.events:
            quiet_since = clock.monotonic()
            await _woken(anyio.Event(), stopping, clock, _pause_after(found.batch))
        left = quiet_since + heartbeat_seconds - clock.monotonic()
        if left <= 0:
            yield HEARTBEAT
            quiet_since, left = clock.monotonic(), heartbeat_seconds
        always = not await _woken(commit, stopping, clock, min(left, POLL_SECONDS))


def _pause_after(batch: BatchView | None) -> float:
    essays = 0 if batch is None else batch.expected_essay_count
    return max(PAUSE_SECONDS, PAUSE_SECONDS_PER_ESSAY * essays)


@contextmanager
def _counted() -> Iterator[None]:
    RESULTS_STREAMS.inc()
    try:
        yield
    finally:
        RESULTS_STREAMS.dec()


async def _woken(commit: anyio.Event, stopping: Stopping, clock: Clock, seconds: float) -> bool:
    """Wait for a commit, the end of the process or some seconds; tell whether it was a commit."""
    async with anyio.create_task_group() as tasks:

        async def leave_after(waiting: Callable[[], Awaitable[object]]) -> None:
            await waiting()
            tasks.cancel_scope.cancel()

        tasks.start_soon(leave_after, commit.wait)
        tasks.start_soon(leave_after, stopping.wait)
        tasks.start_soon(leave_after, lambda: clock.sleep(seconds))
    return commit.is_set()


def encode_event(event_id: int, kind: str, data: object) -> bytes:
    """Return one server-sent event; JSON has no line breaks of its own."""
    return f"id: {event_id}\nevent: {kind}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"


def _change(event: ProgressEvent, batch: BatchView) -> bytes:
    data = {
        "event": event.event_type,
        "attempt": event.attempt,
        "details": event.details,
        **_standing(batch),
    }
    if event.essay_id is None:
        return encode_event(event.id, "batch", data)
    essay = next((one for one in batch.essays if one.essay_id == event.essay_id), None)
    data["essay"] = {"essay_id": event.essay_id} if essay is None else _essay(essay)
    return encode_event(event.id, "essay", data)


def _standing(batch: BatchView) -> dict[str, object]:
    return {
        "batch_id": batch.batch_id,
        "status": batch.status,
        "status_text": batch.status_text,
        "is_finished": batch.is_finished,
        "current_attempt": batch.attempt,
        "counts": batch.counts,
        "missing": len(batch.missing_essay_ids),
        "deadline": batch.deadline,
        "timed_out_at": batch.timed_out_at,
        "proceeded_at": batch.proceeded_at,
        "cancel_reason": batch.cancel_reason,
    }


def _essay(essay: EssayView) -> Mapping[str, object]:
    fields = (
        "essay_id",
        "status",
        "status_text",
        "student_name",
        "file_name",
        "corrections_made",
        "error",
        "attempt",
    )
    return {field: getattr(essay, field) for field in fields}
