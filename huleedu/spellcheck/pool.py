"""Worker processes that check texts, so that no text stops the event loop or the program.

::

    pool (event loop) ──control──> fork server (languages loaded) ──fork──> worker, worker, …
         └──────────────────────── one socket pair a worker ───────────────────┘

A worker that dies or overruns fails its own text, and only that; the next text gets a new one.
The workers outlive a fork server that dies, which is started anew when one is needed.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import anyio
import msgspec

from huleedu.core.enums import Language
from huleedu.core.errors import Misconfigured, TooLarge, Unavailable
from huleedu.spellcheck.errors import CheckerDied, CheckerTimedOut
from huleedu.spellcheck.forking import ForkServer, processors
from huleedu.spellcheck.framing import (
    CheckBegun,
    CheckDone,
    CheckRequest,
    PeerClosed,
    is_open,
    receive_async,
    send_async,
)
from huleedu.spellcheck.model import CheckedText, Correction, apply
from huleedu.spellcheck.word_index import Progress

TEXT_BYTES_MAX = 2_000_000
ATTEMPTS_MAX = 3
"""How many workers may be gone for other reasons than the text."""


class _Worker(msgspec.Struct, frozen=True):
    pid: int
    sock: socket.socket

    def kill(self) -> None:
        """Kill it.  While its socket is open the number is its own: no other process is hit."""
        if is_open(self.sock):
            with contextlib.suppress(ProcessLookupError):  # it ended in this very moment
                os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it and let go of it."""
        self.kill()
        anyio.notify_closing(self.sock)
        self.sock.close()


class _NotBegun(Exception):
    """The worker was gone, and not because of the text: another may try."""


class CheckerPool:
    """Checks texts in worker processes: a ``TextChecker``.

    Use as an async context manager.  Entering starts to load the languages; :meth:`started`
    waits for it, as does the first :meth:`check`.  ``workers`` processes (default: one for each
    processor that we may use) check at once; further calls wait their turn.  One text may take
    ``text_timeout_seconds`` from the moment that it is a worker's.  ``progress`` hears what is
    done where an index has to be built first.
    """

    def __init__(
        self,
        languages: Sequence[Language],
        *,
        workers: int | None = None,
        text_timeout_seconds: float = 60.0,
        text_bytes_max: int = TEXT_BYTES_MAX,
        progress: Progress | None = None,
    ) -> None:
        if not languages or (workers is not None and workers < 1):
            raise Misconfigured("the spell-checker needs a language and a worker at least")
        self.workers = workers or processors()
        self._languages = tuple(languages)
        self._text_timeout_seconds = text_timeout_seconds
        self._text_bytes_max = text_bytes_max
        self._turns = anyio.Semaphore(self.workers)
        self._server = ForkServer(self._languages, progress)
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}
        self._closed = False

    async def __aenter__(self) -> Self:
        """Start loading; does not wait for it."""
        await self._server.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every process."""
        await self.aclose()

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Return the process ids of the workers, the idle ones first."""
        return tuple(worker.pid for worker in (*self._idle, *self._busy.values()))

    async def started(self) -> None:
        """Return once every language is loaded.

        Raises ``Misconfigured`` when one cannot be, ``Unavailable`` when trying again may help.
        """
        await self._server.started()

    async def check(self, text: str, language: Language) -> CheckedText:
        """Return the checked text.

        Raises ``TooLarge``, ``CheckerDied`` or ``CheckerTimedOut`` (final for this text),
        ``Misconfigured`` for a language that the pool was not made for, ``Unavailable`` when no
        worker can be had or the pool is closed.  When cancelled, the worker is replaced.
        """
        if language not in self._languages:
            raise Misconfigured(f"the spell-checker runs without the language {language}")
        content = text.encode("utf-8", "surrogatepass")
        if len(content) > self._text_bytes_max:
            raise TooLarge(
                f"the text has {len(content):,} bytes; {self._text_bytes_max:,} can be checked"
            )
        request = CheckRequest(language, content, self._text_timeout_seconds)
        async with self._turns:
            for _ in range(ATTEMPTS_MAX):
                try:
                    corrections = await self._ask(await self._take(), request)
                except _NotBegun:
                    continue
                return CheckedText(corrected=apply(text, corrections), corrections=corrections)
        raise Unavailable(
            f"{ATTEMPTS_MAX} workers in a row were killed by something else than the text"
        )

    async def aclose(self) -> None:
        """End every process; calls under way raise ``Unavailable``."""
        self._closed = True
        while self._idle:
            self._idle.pop().end()
        for worker in self._busy.values():
            worker.kill()  # whoever waits for its answer sees that and closes its socket
        await self._server.aclose()

    async def _take(self) -> _Worker:
        """Return a worker that is ours until it is put back: an idle one, else a new one."""
        self._refuse_when_closed()
        while self._idle:
            worker = self._idle.pop()
            if is_open(worker.sock):
                return worker
            worker.end()
        worker = _Worker(*await self._server.fork())
        try:
            self._refuse_when_closed()
        except Unavailable:
            worker.end()
            raise
        return worker

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Unavailable("the spell-checker is closed")

    async def _ask(self, worker: _Worker, request: CheckRequest) -> tuple[Correction, ...]:
        begun = answered = False
        self._busy[worker.pid] = worker
        try:
            with anyio.fail_after(self._text_timeout_seconds):
                await send_async(worker.sock, request)
                msgspec.msgpack.decode(await receive_async(worker.sock), type=CheckBegun)
                begun = True
                content = await receive_async(worker.sock)
            done = msgspec.msgpack.decode(content, type=CheckDone)
            answered = True
        except TimeoutError as error:
            raise CheckerTimedOut(
                f"the text could not be checked in {self._text_timeout_seconds:g} seconds"
            ) from error
        except PeerClosed as error:
            self._refuse_when_closed()
            # Where the fork server went as well, something else than the text ended both.
            if not begun or await self._server.has_died(within_seconds=0.1):
                raise _NotBegun from error
            raise CheckerDied("the checker's process ended while it checked this text") from error
        finally:
            del self._busy[worker.pid]
            if answered and not self._closed:
                self._idle.append(worker)
            else:
                worker.end()
        return done.corrections
