"""Messages between the pool and its processes: a length, then as many bytes, over a socket pair.

The blocking half is for the child processes, the ``async`` half for the pool's event loop.
"""

import socket
import struct

import anyio
import msgspec

from huleedu.core.enums import Language
from huleedu.spellcheck.model import Correction

FRAME_BYTES_MAX = 256_000_000
"""No message of ours is longer; a length above it is no length."""

_LENGTH = struct.Struct("!I")


class CheckRequest(msgspec.Struct, frozen=True):
    """One text for a worker."""

    language: Language
    text: bytes  # UTF-8, lone surrogates passed through
    seconds: float  # the worker ends itself some seconds after these


class CheckBegun(msgspec.Struct, frozen=True, tag="begun"):
    """The worker has the whole text: what happens from here on is the text's doing."""


class CheckDone(msgspec.Struct, frozen=True, tag="done"):
    """What the worker found."""

    corrections: tuple[Correction, ...]


class ServerProgress(msgspec.Struct, frozen=True, tag="progress"):
    """What the fork server does before it is ready, a line for people."""

    line: str


class ServerReady(msgspec.Struct, frozen=True, tag="ready"):
    """Every language is loaded."""


class ServerFailed(msgspec.Struct, frozen=True, tag="failed"):
    """A language cannot be loaded: the operator has to act."""

    reason: str


class WorkerForked(msgspec.Struct, frozen=True, tag="forked"):
    """A worker serves the socket that came with the wish for it."""

    pid: int


class PeerClosed(Exception):
    """The other side is gone: how every conversation ends.  Never leaves this package."""


def send(sock: socket.socket, message: msgspec.Struct) -> None:
    """Send one message.  Raises ``PeerClosed``."""
    try:
        sock.sendall(_framed(message))
    except (BrokenPipeError, ConnectionResetError) as error:
        raise PeerClosed from error


def receive(sock: socket.socket) -> bytes:
    """Return the next message, still encoded.  Raises ``PeerClosed``."""
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
    return _exactly(sock, _checked(length))


async def send_async(sock: socket.socket, message: msgspec.Struct) -> None:
    """Send one message over a non-blocking socket.  Raises ``PeerClosed``."""
    rest = memoryview(_framed(message))
    while rest:
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            await anyio.wait_writable(sock)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise PeerClosed from error


async def receive_async(sock: socket.socket) -> bytes:
    """Return the next message of a non-blocking socket, still encoded.  Raises ``PeerClosed``."""
    (length,) = _LENGTH.unpack(await _exactly_async(sock, _LENGTH.size))
    return await _exactly_async(sock, _checked(length))


def is_open(sock: socket.socket) -> bool:
    """Tell whether the other side of a non-blocking socket still has it open."""
    try:
        return sock.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


def _framed(message: msgspec.Struct) -> bytes:
    content = msgspec.msgpack.encode(message)
    return _LENGTH.pack(_checked(len(content))) + content


def _checked(length: int) -> int:
    if length > FRAME_BYTES_MAX:
        raise PeerClosed
    return length


def _exactly(sock: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        try:
            part = sock.recv(min(size - len(content), 1 << 20))
        except ConnectionResetError as error:
            raise PeerClosed from error
        if not part:
            raise PeerClosed
        content += part
    return bytes(content)


async def _exactly_async(sock: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        try:
            part = sock.recv(min(size - len(content), 1 << 20))
        except BlockingIOError:
            await anyio.wait_readable(sock)
            continue
        except ConnectionResetError as error:
            raise PeerClosed from error
        if not part:
            raise PeerClosed
        content += part
    return bytes(content)
