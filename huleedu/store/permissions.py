"""Files and folders that only their owner reads: essays, names and secrets lie in them."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from huleedu.core.logging import create_service_logger

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_OTHERS = 0o077

_LOG = create_service_logger("store")


def make_private_store(path: Path) -> None:
    """Make the file of a store unless it is there, and close it to others.  Raises ``OSError``.

    A file that is there is never opened: closing it again would free the locks that this process
    holds on it.  What SQLite makes beside it later gets its rights.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    for suffix in ("", "-wal", "-shm"):
        close_to_others(path.with_name(path.name + suffix))


def close_to_others(path: Path) -> None:
    """Take every right of others on a file or folder; where that is not possible, log it.

    What is not there is left alone.
    """
    with suppress(FileNotFoundError):
        mode = _mode(path)
        if mode & _OTHERS:
            with suppress(OSError):  # another's file, or a file system without rights
                path.chmod(mode & ~_OTHERS)
        tell_if_open(path)


def tell_if_open(path: Path) -> None:
    """Log that others may read or change this, if they may."""
    mode = _mode(path)
    if mode & _OTHERS:
        _LOG.warning(
            "open_to_others",
            path=str(path),
            mode=f"{mode:o}",
            meaning="others on this machine may read essays or names; chmod it, or give the "
            "program a folder of its own with --data-dir",
        )


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
