"""The process that reads uploaded files: ``python -P -c PROGRAM ALLOWANCE``.

It reads requests from standard input and answers each on standard output, until its input ends.
It can open no file and no socket, and the kernel ends it when it takes too much.
"""

import resource
import signal
import struct
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.extraction import ExtractionLimits, extract

PROGRAM = """
import sys, types, huleedu
package = sys.modules["huleedu.files"] = types.ModuleType("huleedu.files")
package.__path__ = [f"{huleedu.__path__[0]}/files"]
from huleedu.files.child import run
run()
"""
"""What a child starts with: it enters the package without its ``__init__``, which would bring the
store and the web framework along (0.6 s and 30 MB a child, where 0.1 s and 16 MB do)."""

LENGTH = struct.Struct(">I")
"""What goes before every message of either way: its length in bytes."""

READY = b"ready"
"""The first message of a child, once its limits are set."""

OUT_OF_MEMORY = 86
"""The exit status of a child that met its limit of memory."""


class Allowance(msgspec.Struct, frozen=True):
    """What a child may take.

    ``memory_bytes_max`` is address space beyond what the interpreter and its modules have taken;
    ``cpu_seconds_max`` counts for each file anew.
    """

    limits: ExtractionLimits
    memory_bytes_max: int
    cpu_seconds_max: int


class Request(msgspec.Struct, frozen=True, array_like=True):
    """One file to be read."""

    name: str
    content: bytes


class Text(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The answer when there is a text."""

    text: str


class Refusal(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The answer when there is none: what ``Unreadable`` is made of."""

    file_name: str
    reason: UnreadableReason
    detail: str


Answer = Text | Refusal


def run() -> None:
    """Answer until the input ends; exit with ``OUT_OF_MEMORY`` when the limit is met."""
    try:
        _answer_all()
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except BrokenPipeError:
        sys.exit()  # nobody waits for the answer any more


def _answer_all() -> None:
    allowance = msgspec.json.decode(sys.argv[1], type=Allowance)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # Whoever started us decides when we end, by closing our input; a signal that is meant for the
    # whole program must not cost the file in hand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _confine(allowance)
    _send(answers, READY)
    while (message := _receive(requests)) is not None:
        _allow_cpu(allowance.cpu_seconds_max)
        _send(answers, msgspec.msgpack.encode(_answer(message, allowance.limits)))


def _answer(message: bytes, limits: ExtractionLimits) -> Answer:
    request = msgspec.msgpack.decode(message, type=Request)
    try:
        return Text(extract(request.name, request.content, limits))
    except Unreadable as error:
        return Refusal(error.file_name, error.reason, error.detail)


def _confine(allowance: Allowance) -> None:
    for encoding in ("cp1252", "utf-16-le", "utf-16-be", "utf-16", "ascii", "cp437", "latin-1"):
        "".encode(encoding)  # loads the codec while files can still be opened
    taken = _address_space()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no essays in core dumps
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # standard input, output and error
    if taken:
        space = taken + allowance.memory_bytes_max
        resource.setrlimit(resource.RLIMIT_AS, (space, space))


def _address_space() -> int:
    """Return the bytes of address space in use; 0 where the system does not tell (macOS)."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 0


def _allow_cpu(seconds: int) -> None:
    """Let the process use so many seconds of CPU more: the kernel counts from its start."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _receive(stream: BinaryIO) -> bytes | None:
    header = stream.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(header)
    message = stream.read(length)
    return message if len(message) == length else None


def _send(stream: BinaryIO, message: bytes) -> None:
    stream.write(LENGTH.pack(len(message)) + message)
    stream.flush()
