"""The bytes of an upload while it is in hand."""

import tempfile

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.errors import StoreUnavailable
from huleedu.core.hops import ThreadHops
from huleedu.files.spool import MEMORY_BYTES_MAX, Spool

pytestmark = pytest.mark.anyio


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, MEMORY_BYTES_MAX // 2), max_size=6))
def test_what_was_appended_is_read_at_its_place(lengths: list[int]) -> None:
    """In memory as on disk, also when reading and appending take turns."""

    async def scenario() -> None:
        async with Spool(ThreadHops()) as spool:
            pieces: list[tuple[int, bytes]] = []
            for number, length in enumerate(lengths):
                pieces.append((spool.length, bytes([number]) * length))
                await spool.append(pieces[-1][1])
                for start, piece in reversed(pieces):
                    assert await spool.read(start, len(piece)) == piece

    anyio.run(scenario)


async def test_readers_at_once_do_not_mix_their_pieces() -> None:
    """Each gets its own, though all of them share one file."""
    length = MEMORY_BYTES_MAX // 8
    async with Spool(ThreadHops()) as spool:
        for number in range(32):
            await spool.append(bytes([number]) * length)

        async def read(number: int) -> None:
            assert await spool.read(number * length, length) == bytes([number]) * length

        async with anyio.create_task_group() as tasks:
            for number in [*range(32)] * 4:
                tasks.start_soon(read, number)


async def test_no_room_for_temporary_files_may_heal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the world's fault, not the upload's."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    async with Spool(ThreadHops()) as spool:
        await spool.append(b"a" * MEMORY_BYTES_MAX)

        with pytest.raises(StoreUnavailable, match="temporary file"):
            await spool.append(b"a")
