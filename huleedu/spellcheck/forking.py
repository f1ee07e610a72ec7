"""The pool's hold on the fork server: starts it, asks it for workers, starts it anew."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import anyio
import anyio.abc
import msgspec

import huleedu
from huleedu.core.enums import Language
from huleedu.core.errors import Misconfigured, Unavailable
from huleedu.spellcheck.forkserver import FORK_WISH
from huleedu.spellcheck.framing import (
    PeerClosed,
    ServerFailed,
    ServerProgress,
    ServerReady,
    WorkerForked,
    is_open,
    receive_async,
)
from huleedu.spellcheck.word_index import Progress

FORK_SECONDS_MAX = 10.0
"""A fork takes milliseconds; a server that takes longer is replaced."""

END_SECONDS_MAX = 5.0
"""How long a server may take to end its workers and itself before it is killed."""

_Starting: TypeAlias = ServerProgress | ServerReady | ServerFailed

# The folder of the package comes last in the path, and the current directory (which may hold
# pupils' files) not at all.
_COMMAND = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from huleedu.spellcheck.forkserver import main; main(sys.argv[1:])"
)


class ForkServer:
    """One fork server process at a time.  Its methods may be called by many tasks."""

    def __init__(self, languages: Sequence[Language], progress: Progress | None) -> None:
        self._languages = languages
        self._progress = progress
        self._lock = anyio.Lock()
        self._process: anyio.abc.Process | None = None
        self._control: socket.socket | None = None
        self._ready = False

    async def open(self) -> None:
        """Start the process, which begins to load; does not wait for it."""
        async with self._lock:
            if self._control is None:
                self._control = await self._start()

    async def started(self) -> None:
        """Return once every language is loaded, starting the process anew when it is gone.

        Raises ``Misconfigured`` when a language cannot be loaded, ``Unavailable`` when the
        process ended while it loaded.
        """
        async with self._lock:
            await self._loaded()

    async def fork(self) -> tuple[int, socket.socket]:
        """Return the process id of a new worker and our end of its socket.

        A server that is gone, or takes too long, is replaced once.  Raises as :meth:`started`.
        """
        async with self._lock:
            try:
                return await self._forked(await self._loaded())
            except (PeerClosed, OSError):  # TimeoutError is an OSError
                await self._stop()
            try:
                return await self._forked(await self._loaded())
            except (PeerClosed, OSError) as error:
                await self._stop()
                raise Unavailable("the spell-checker's fork server makes no worker") from error

    async def _forked(self, control: socket.socket) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            # Not to be left half-way, or its answer would be taken for the next one's.
            with theirs, anyio.fail_after(FORK_SECONDS_MAX, shield=True):
                socket.send_fds(control, [FORK_WISH], [theirs.fileno()])
                theirs.close()
                forked = msgspec.msgpack.decode(await receive_async(control), type=WorkerForked)
        except (PeerClosed, OSError):
            ours.close()
            raise
        return forked.pid, ours

    async def has_died(self, within_seconds: float) -> bool:
        """Tell whether the process is gone, or goes in so many seconds."""
        async with self._lock:
            if self._control is None:
                return True
            with anyio.move_on_after(within_seconds):
                await anyio.wait_readable(self._control)
            return not is_open(self._control)

    async def aclose(self) -> None:
        """End the process and the workers that it forked.  Waits for them, cancelled or not."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                if self._process and self._process.returncode is None and not self._ready:
                    self._process.kill()  # it loads still, and hears nothing; it has no workers
                await self._stop()

    async def _loaded(self) -> socket.socket:
        control = self._control
        if control is not None and not is_open(control):
            await self._stop()
            control = None
        if control is None:
            control = self._control = await self._start()
        try:
            while not self._ready:
                await anyio.wait_readable(control)
                with anyio.CancelScope(shield=True):  # never half a message
                    content = await receive_async(control)
                self._hear(msgspec.msgpack.decode(content, type=_Starting))
        except PeerClosed as error:
            code = await self._stop()
            raise Unavailable(
                f"the spell-checker's fork server ended while it loaded (exit code {code})"
            ) from error
        except Misconfigured:
            await self._stop()
            raise
        return control

    def _hear(self, said: _Starting) -> None:
        match said:
            case ServerProgress(line):
                if self._progress is not None:
                    self._progress(line)
            case ServerFailed(reason):
                raise Misconfigured(reason)
            case ServerReady():
                self._ready = True

    async def _start(self) -> socket.socket:
        control, theirs = socket.socketpair()
        control.setblocking(False)
        command = [sys.executable, "-P", "-c", _COMMAND, str(Path(huleedu.__file__).parents[1])]
        try:
            with theirs, anyio.CancelScope(shield=True):
                # A session of its own: Ctrl-C in our terminal is for us alone.
                self._process = await anyio.open_process(
                    [*command, str(theirs.fileno()), *self._languages],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=None,
                    start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                )
        except OSError as error:
            control.close()
            raise Unavailable(f"cannot start the spell-checker's fork server: {error}") from error
        self._ready = False
        return control

    async def _stop(self) -> int | None:
        """Close our end, which ends the server; return its exit code."""
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control is not None:
            anyio.notify_closing(control)
            control.close()
        if process is None:
            return None
        with anyio.move_on_after(END_SECONDS_MAX, shield=True):
            await process.wait()
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()
        return process.returncode


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
