"""Answers too large for memory: written to a temporary file in threads, then sent in chunks."""

import tempfile
from collections.abc import AsyncGenerator, Callable
from typing import IO

from huleedu.core.errors import StoreUnavailable
from huleedu.core.hops import Hops

MEMORY_BYTES_MAX = 1_000_000
"""What is kept in memory; past it the file is on disk."""
CHUNK_BYTES = 65_536


class Spool:
    """A temporary file that is written in threads and read once by ``chunks``."""

    def __init__(self, hops: Hops) -> None:
        self._hops = hops
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES_MAX)  # noqa: SIM115

    async def write(self, work: Callable[[], object]) -> None:
        """Run ``work``, which writes to ``file``, off the event loop.

        Raises ``StoreUnavailable`` when the disk of temporary files does not take it.
        """
        try:
            await self._hops.thread(work)
        except OSError as error:
            raise StoreUnavailable(
                f"no room for a temporary file in {tempfile.gettempdir()}: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Remove the file."""
        self.file.close()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield what was written from its start, and remove the file at the end."""
        try:
            await self._hops.thread(lambda: self.file.seek(0))
            while chunk := await self._hops.thread(lambda: self.file.read(CHUNK_BYTES)):
                yield chunk
        finally:
            self.close()
