"""A file that is open only while it is read, so that a thousand can wait to be sent."""

import io
import os
from pathlib import Path
from typing import BinaryIO


def opened_when_read(path: Path) -> BinaryIO:
    """Return ``path`` as a binary file whose size is known, opened at the first read.

    It is closed again at its end.  Reading may raise ``OSError``.
    """
    return io.BufferedReader(_OpenedWhenRead(path))


class _OpenedWhenRead(io.RawIOBase):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._position = 0
        self._file: io.FileIO | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        self._position = starts[whence] + offset
        return self._position

    def readinto(self, buffer: "memoryview[int]", /) -> int:  # type: ignore[override]
        if self._file is None:
            self._file = io.FileIO(self._path)
        self._file.seek(self._position)
        count = self._file.readinto(buffer)
        if not count:
            self._file.close()
            self._file = None
            return 0
        self._position += count
        return count

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()
