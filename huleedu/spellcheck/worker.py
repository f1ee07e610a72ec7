"""A worker process: checks the texts that come over its socket, one after another."""

import signal
import socket
from collections.abc import Mapping

import msgspec

from huleedu.core.enums import Language
from huleedu.spellcheck.checker import Checker
from huleedu.spellcheck.framing import (
    CheckBegun,
    CheckDone,
    CheckRequest,
    PeerClosed,
    receive,
    send,
)

GRACE_SECONDS = 5.0
"""How long after a text's deadline a worker that nobody stopped ends itself."""


def serve(sock: socket.socket, checkers: Mapping[Language, Checker]) -> None:
    """Answer requests until the other side is gone."""
    try:
        while True:
            request = msgspec.msgpack.decode(receive(sock), type=CheckRequest)
            send(sock, CheckBegun())
            # The pool kills a worker that overruns.  Should the pool and the fork server be dead,
            # the system's own timer ends it, even inside a library's code: no orphan stays.
            signal.setitimer(signal.ITIMER_REAL, request.seconds + GRACE_SECONDS)
            text = request.text.decode("utf-8", "surrogatepass")
            checked = checkers[request.language].check(text)
            signal.setitimer(signal.ITIMER_REAL, 0)
            send(sock, CheckDone(checked.corrections))
    except PeerClosed:
        return
