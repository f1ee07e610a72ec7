"""Reading the texts of many essays: a few at a time, and telling what is missing."""

from collections.abc import AsyncGenerator, Sequence

import anyio
import msgspec

from huleedu.core.errors import HuleEduError, NotFound, Unavailable
from huleedu.core.ids import StorageId
from huleedu.core.ports import ContentClient
from huleedu.results.model import EssayView

SLICE_ESSAYS = 8
"""Essays whose texts are in memory at once; with texts and logs of full size 40 MB."""


class Missing(msgspec.Struct, frozen=True):
    """A text that could not be read, and why in plain words."""

    why: str
    error: HuleEduError


class EssayTexts(msgspec.Struct, frozen=True):
    """What is stored of one essay: its bytes, what kept them away, or None where nothing is."""

    corrected: bytes | Missing | None = None
    log: bytes | Missing | None = None


async def texts_of(
    content: ContentClient, essays: Sequence[EssayView], *, logs_only: bool = False
) -> AsyncGenerator[Sequence[EssayTexts], None]:
    """Yield corrected texts and logs, slice by slice, in the order of ``essays``.

    A text that cannot be read is told as ``Missing``.  Raises ``Unavailable`` when not one of the
    first slice with any text could be read for now: then the store of texts is away.
    """
    has_read = False
    for start in range(0, len(essays), SLICE_ESSAYS):
        of_slice = essays[start : start + SLICE_ESSAYS]
        texts = await _slice(content, of_slice, logs_only)
        found = [text for essay in texts for text in (essay.corrected, essay.log) if text]
        has_read = has_read or any(isinstance(text, bytes) for text in found)
        if not has_read:
            _raise_if_away([text for text in found if isinstance(text, Missing)])
        yield texts


def _raise_if_away(missing: Sequence[Missing]) -> None:
    for text in missing:
        if isinstance(text.error, Unavailable):
            raise text.error


async def _slice(
    content: ContentClient, essays: Sequence[EssayView], logs_only: bool
) -> Sequence[EssayTexts]:
    wanted: dict[str, bytes | Missing] = {}

    async def read(storage_id: str) -> None:
        wanted[storage_id] = await _read(content, storage_id)

    async with anyio.create_task_group() as tasks:
        for storage_id in _storage_ids(essays, logs_only):
            tasks.start_soon(read, storage_id)
    return [
        EssayTexts(
            corrected=wanted.get(essay.corrected_storage_id or ""),
            log=wanted.get(essay.log_storage_id or ""),
        )
        for essay in essays
    ]


def _storage_ids(essays: Sequence[EssayView], logs_only: bool) -> set[str]:
    logs = {essay.log_storage_id for essay in essays}
    corrected = set() if logs_only else {essay.corrected_storage_id for essay in essays}
    return {storage_id for storage_id in logs | corrected if storage_id is not None}


async def _read(content: ContentClient, storage_id: str) -> bytes | Missing:
    try:
        return await content.get(StorageId(storage_id))
    except NotFound as error:
        return Missing("it is no longer stored", error)
    except Unavailable as error:
        return Missing("it cannot be read for now; try again later", error)
