"""The fork server: loads the languages once and forks workers that share its memory.

A process of its own, started by the pool with one end of a socket pair.  It runs no threads (a
fork copies only the calling one, and whatever locks the others hold stay locked) and ends, with
all its workers, when the pool's end of the socket closes in whatever way.  It ignores SIGINT and
SIGTERM, which a terminal or a supervisor sends to the whole program: the pool decides.
"""

import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Iterable, Mapping

from huleedu.core.enums import Language
from huleedu.core.errors import Misconfigured
from huleedu.spellcheck import worker
from huleedu.spellcheck.checker import Checker, load_checker
from huleedu.spellcheck.framing import (
    PeerClosed,
    ServerFailed,
    ServerProgress,
    ServerReady,
    WorkerForked,
    send,
)

FORK_WISH = b"F"
"""Asks for a worker; its socket travels along."""


def main(arguments: list[str]) -> None:
    """Serve the socket whose number is the first argument; the others are languages."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=int(arguments[0]))
    try:
        checkers = _load(control, [Language(value) for value in arguments[1:]])
        send(control, ServerReady())
    except Misconfigured as error:
        send(control, ServerFailed(str(error)))
        return
    except PeerClosed:
        return
    # What is loaded lives as long as we do: keep the collector from touching (and so copying) it.
    gc.collect()
    gc.freeze()
    _Server(control, checkers).run()


def _load(control: socket.socket, languages: Iterable[Language]) -> dict[Language, Checker]:
    def tell(line: str) -> None:
        send(control, ServerProgress(line))

    return {language: load_checker(language, progress=tell) for language in languages}


class _Server:
    def __init__(self, control: socket.socket, checkers: Mapping[Language, Checker]) -> None:
        self._control = control
        self._checkers = checkers
        self._workers: set[int] = set()
        # SIGCHLD wakes the loop through this pair, so that no worker stays a zombie.
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, _heard)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        """Fork on request until the pool is gone; then end every worker."""
        while True:
            readable, _, _ = select.select([self._control, self._woken], [], [])
            if self._woken in readable:
                self._woken.recv(4096)
                self._reap()
            if self._control in readable and not self._answer():
                break
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
        for pid in self._workers:
            os.waitpid(pid, 0)

    def _answer(self) -> bool:
        """Fork the worker that is asked for.  Return False when the pool is gone."""
        try:
            wish, sockets, _, _ = socket.recv_fds(self._control, 1, 1)
        except ConnectionResetError:
            return False
        if wish != FORK_WISH or not sockets:
            return False
        with socket.socket(fileno=sockets[0]) as conversation:
            pid = os.fork()
            if pid == 0:
                self._become_worker(conversation)
        self._workers.add(pid)
        try:
            send(self._control, WorkerForked(pid))
        except PeerClosed:
            return False
        return True

    def _become_worker(self, conversation: socket.socket) -> None:
        """Work in the forked process; never return into the server's loop."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for inherited in (self._control, self._woken, self._wake):
                inherited.close()
            worker.serve(conversation, self._checkers)
            status = 0
        finally:
            if status:
                sys.excepthook(*sys.exc_info())
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        for pid in list(self._workers):
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._workers.discard(pid)


def _heard(_number: int, _frame: object) -> None:
    """Do nothing: the wake-up socket tells the loop."""


if __name__ == "__main__":
    main(sys.argv[1:])
