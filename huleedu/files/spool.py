"""The bytes of one upload while it is in hand: a little in memory, the rest on disk."""

from collections.abc import Callable
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self, TypeVar

import anyio

from huleedu.core.errors import StoreUnavailable
from huleedu.core.hops import Hops

T = TypeVar("T")

MEMORY_BYTES_MAX = 2**20


class Spool:
    """Keeps what is appended until the context is left; pieces of it can be read meanwhile.

    All files of a request share one spool: a thousand small ones cost as little memory as one.
    Raises ``StoreUnavailable`` when there is no room for temporary files.
    """

    def __init__(self, hops: Hops) -> None:
        self._hops = hops
        self._file = SpooledTemporaryFile(max_size=MEMORY_BYTES_MAX)  # noqa: SIM115
        self._turn = anyio.Lock()  # one position in the file, one user
        self.length = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._do(self._file.close)

    async def append(self, data: bytes) -> None:
        """Put these bytes behind the others."""
        self.length += len(data)
        async with self._turn:
            await self._do(lambda: self._append(data))

    async def read(self, start: int, length: int) -> bytes:
        """Return ``length`` bytes from ``start`` on."""
        async with self._turn:
            return await self._do(lambda: self._read(start, length))

    def _append(self, data: bytes) -> None:
        self._file.seek(0, 2)
        self._file.write(data)

    def _read(self, start: int, length: int) -> bytes:
        self._file.seek(start)
        return self._file.read(length)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            if self.length <= MEMORY_BYTES_MAX:
                return work()  # in memory: nothing to wait for
            return await self._hops.thread(work)
        except OSError as error:
            message = f"the upload cannot be kept in a temporary file for now ({error})"
            raise StoreUnavailable(message) from error
