"""Extraction where it can do no harm: in a child process with its own limits.

anyio's worker processes were tried first: a SIGINT that reaches an idle one (Ctrl-C in a terminal
does) puts an answer too many into its pipe, after which a file gets the text of the one before it.
A child of our own also needs no pickle from a process that may have been taken over, and does not
import the program's main module anew.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGXCPU
from subprocess import PIPE
from types import TracebackType
from typing import Protocol, Self, cast

import anyio
import msgspec
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

import huleedu
from huleedu.core.errors import Unavailable
from huleedu.files.child import (
    LENGTH,
    OUT_OF_MEMORY,
    PROGRAM,
    READY,
    Allowance,
    Answer,
    Refusal,
    Request,
)
from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.extraction import ExtractionLimits
from huleedu.files.file_names import clean_file_name

_START_SECONDS_MAX = 30.0
_DEATH_SECONDS_MAX = 5.0
_ANSWER_OVERHEAD_BYTES = 4096
_PASSED_ON = ("PYTHONHOME", "LD_LIBRARY_PATH")
_PROGRAM_ROOT = str(Path(huleedu.__file__).parent.parent)


class Extractor(Protocol):
    """From the bytes of an uploaded file to its text."""

    async def __call__(self, name: str, content: bytes) -> str:
        """Return the text.

        Raises:
            Unreadable: no text can be had from this file.
            Unavailable: extraction is not possible for now.
        """
        ...


class ExtractInChild:
    """Extraction in child processes, at most ``children_max`` at once.

    ::

        async with ExtractInChild(limits) as extractor:
            text = await extractor("essay.docx", content)

    A file that takes longer than ``seconds_max`` of wall clock, more than ``cpu_seconds_max`` of
    processor time or more than ``memory_bytes_max`` of address space costs its child and is
    unreadable; so is one whose fresh child dies on it.  A child serves ``files_per_child_max``
    files; leaving the context ends them all.
    """

    def __init__(
        self,
        limits: ExtractionLimits,
        *,
        children_max: int = 2,
        seconds_max: float = 10.0,
        cpu_seconds_max: int = 5,
        memory_bytes_max: int = 256 * 2**20,
        files_per_child_max: int = 200,
    ) -> None:
        self._limits = limits
        self._seconds_max = seconds_max
        self._files_per_child_max = files_per_child_max
        self._allowance = Allowance(
            limits=limits, memory_bytes_max=memory_bytes_max, cpu_seconds_max=cpu_seconds_max
        )
        self._turns = anyio.CapacityLimiter(children_max)
        self._idle: list[_Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._idle:
            await self._idle.pop().end()

    async def __call__(self, name: str, content: bytes) -> str:
        """Return the text, read in a child process.

        Raises:
            Unreadable: as ``extract`` does, and too_slow, too_much_memory, extraction_failed.
            Unavailable: no child process could be started.
        """
        request = msgspec.msgpack.encode(Request(name, content))
        async with self._turns:
            answer = await self._answer(clean_file_name(name), request)
        if isinstance(answer, Refusal):
            raise Unreadable(answer.file_name, answer.reason, answer.detail)
        return answer.text

    async def _answer(self, shown: str, request: bytes) -> Answer:
        """Ask a child; one that had served others may have died for a reason of its own."""
        async with self._child() as child:
            served_others = child.files > 0
            answer = await self._asked(child, shown, request)
        if answer is None and served_others:
            async with self._child(fresh=True) as child:
                answer = await self._asked(child, shown, request)
        if answer is None:
            raise _death(child.process.returncode, shown, self._allowance.cpu_seconds_max)
        return answer

    async def _asked(self, child: "_Child", shown: str, request: bytes) -> Answer | None:
        """Return the child's answer, or ``None`` when it has died.  Raises too_slow."""
        try:
            with anyio.fail_after(self._seconds_max):
                await child.send(request)
                message = await child.receive(self._limits.text_bytes_max + _ANSWER_OVERHEAD_BYTES)
                answer: Answer = msgspec.msgpack.decode(message, type=Answer)
                child.files += 1
                return answer
        except _CHILD_GONE:
            await child.died()
            return None
        except TimeoutError as error:
            detail = f"{self._seconds_max:g} seconds"
            raise Unreadable(shown, UnreadableReason.TOO_SLOW, detail) from error

    @asynccontextmanager
    async def _child(self, *, fresh: bool = False) -> AsyncIterator["_Child"]:
        """Lend a child that lives; end it unless it comes back answered and not too old."""
        reused = self._idle.pop() if self._idle and not fresh else None
        child = reused or await _Child.start(self._allowance)
        answered = child.files
        try:
            yield child
        finally:
            if answered < child.files < self._files_per_child_max:
                self._idle.append(child)
            else:
                await child.end()


# What anyio raises once the other end of the pipe is gone, or says what no child of ours says.
_CHILD_GONE = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    ConnectionError,
    msgspec.DecodeError,
)


def _death(status: int | None, shown: str, cpu_seconds_max: int) -> Unreadable:
    if status == -SIGXCPU:
        detail = f"{cpu_seconds_max} seconds of work"
        return Unreadable(shown, UnreadableReason.TOO_SLOW, detail)
    if status == OUT_OF_MEMORY:
        return Unreadable(shown, UnreadableReason.TOO_MUCH_MEMORY)
    return Unreadable(shown, UnreadableReason.EXTRACTION_FAILED)


@dataclass
class _Child:
    """One child process, and the two pipes to it."""

    process: Process
    requests: ByteSendStream
    answers: BufferedByteReceiveStream
    files: int = 0

    @classmethod
    async def start(cls, allowance: Allowance) -> "_Child":
        """Start a child and wait until its limits are set.  Raises ``Unavailable``."""
        # A session of its own: what is typed in our terminal does not reach it.  Of our
        # environment, which may hold secrets, it gets what the interpreter needs.
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment["PYTHONPATH"] = _PROGRAM_ROOT
        command = [sys.executable, "-P", "-c", PROGRAM]
        try:
            process = await anyio.open_process(
                [*command, msgspec.json.encode(allowance).decode()],
                stdin=PIPE,
                stdout=PIPE,
                stderr=None,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            message = f"No process could be started to read files in: {error}"
            raise Unavailable(message) from error
        # Both were asked for as pipes, so both are there.
        requests = cast("ByteSendStream", process.stdin)
        answers = BufferedByteReceiveStream(cast("ByteReceiveStream", process.stdout))
        child = cls(process, requests, answers)
        try:
            with anyio.fail_after(_START_SECONDS_MAX):
                await child.receive(len(READY))
        except (*_CHILD_GONE, TimeoutError) as error:
            await child.end()
            message = f"A process to read files in ended at once ({process.returncode})."
            raise Unavailable(message) from error
        except BaseException:
            await child.end()
            raise
        return child

    async def send(self, message: bytes) -> None:
        await self.requests.send(LENGTH.pack(len(message)) + message)

    async def receive(self, length_max: int) -> bytes:
        """Return the next message; one that is longer counts as nonsense."""
        (length,) = LENGTH.unpack(await self.answers.receive_exactly(LENGTH.size))
        if length > length_max:
            raise anyio.BrokenResourceError
        return await self.answers.receive_exactly(length)

    async def died(self) -> None:
        """Wait for the exit status, which comes after the pipe's end."""
        with anyio.move_on_after(_DEATH_SECONDS_MAX):
            await self.process.wait()

    async def end(self) -> None:
        """Kill the process and leave nothing of it, whatever else is being cancelled."""
        with anyio.CancelScope(shield=True):
            if self.process.returncode is None:
                with suppress(ProcessLookupError):  # it may end meanwhile
                    self.process.kill()
            await self.process.aclose()
