"""The data directory: held by one whole program or by any roles; the secret that these share."""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from huleedu.core.errors import Misconfigured, StoreUnavailable
from huleedu.store.permissions import DIRECTORY_MODE, FILE_MODE, close_to_others, tell_if_open

LOCK_NAME = "lock"
SECRET_NAME = "role.secret"  # noqa: S105 - the name of the file
_SECRET_BYTES = 32


def make_directory(directory: Path) -> None:
    """Make it, its owner's alone, and what is missing above it; the name survives a loss of power.

    SQLite syncs the names of its files in the directory, not the directory's own.  Raises
    ``OSError``.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    # One that was there may have been made by a process that ended before it synced the name.
    for path in dict.fromkeys([directory, *missing]):
        _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # what somebody else keeps, and made for us
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(directory: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the directory for this process; the lock goes with the process, however it ends.

    ``shared``: together with others that hold it so.  Raises ``Misconfigured`` when another
    process holds it otherwise, ``StoreUnavailable`` when it cannot be made or written to.

    The directory and its files are then their owner's alone.  One with files of somebody else's
    stays as it is, since it may be their home; that it is open to others is logged.
    """
    try:
        make_directory(directory)
        is_ours = _is_ours(directory)
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise StoreUnavailable(
            f"the data directory {directory} cannot be written to ({error}); "
            "check its permissions and the free space, or choose another with --data-dir"
        ) from error
    try:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise Misconfigured(
                f"the data directory {directory} is in use by another huleedu ({holder}); "
                "stop that one, or choose another with --data-dir"
            ) from error
        if is_ours:
            _close_to_others(directory)
        else:
            tell_if_open(directory)
        os.truncate(lock, 0)
        os.pwrite(lock, (b"roles" if shared else f"process {os.getpid()}".encode()), 0)
        yield
    finally:
        os.close(lock)


def _is_ours(directory: Path) -> bool:
    """Tell whether a directory is empty, or has been a data directory before."""
    return (directory / LOCK_NAME).exists() or not any(directory.iterdir())


def _close_to_others(directory: Path) -> None:
    close_to_others(directory)
    for path in directory.iterdir():
        if path.is_file() and not path.is_symlink():
            close_to_others(path)


@contextmanager
def numbered(directory: Path, name: str) -> Iterator[int]:
    """Hold the lowest number, from 0, that no other process of this name holds here.

    A process that starts again after a crash gets its number back.  Raises ``StoreUnavailable``.
    """
    with ExitStack() as stack:
        number = 0
        while not stack.enter_context(_held(directory / f"{name}.{number}.lock")):
            number += 1
        yield number


@contextmanager
def _held(path: Path) -> Iterator[bool]:
    try:
        make_directory(path.parent)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise StoreUnavailable(f"the lock {path} cannot be made ({error})") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)


def role_secret(directory: Path) -> str:
    """Return the secret of this data directory, made at the first call, readable by its owner.

    Raises ``StoreUnavailable``.
    """
    path = directory / SECRET_NAME
    try:
        if not path.exists():
            make_directory(directory)
            _make_secret(path)
        return path.read_text().strip()
    except OSError as error:
        raise StoreUnavailable(f"the role secret {path} cannot be kept ({error})") from error


def _make_secret(path: Path) -> None:
    """Make the file whole or not at all, once: roles that start together agree on the first."""
    descriptor, name = tempfile.mkstemp(prefix=f"{SECRET_NAME}.", dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()
