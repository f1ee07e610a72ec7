"""A batch as a zip: a table, and texts and logs as ``huleedu check --out`` writes them."""

import zipfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, closing, suppress
from datetime import datetime
from functools import partial

from huleedu.core.clock import from_text
from huleedu.core.hops import Hops
from huleedu.core.ports import ContentClient
from huleedu.results.model import BatchView, EssayView
from huleedu.results.names import unique_stems
from huleedu.results.spool import Spool
from huleedu.results.table import as_csv
from huleedu.results.texts import SLICE_ESSAYS, EssayTexts, Missing, texts_of

TABLE_NAME = "results.csv"
ERRORS_NAME = "ERRORS.txt"
_READABLE_BY_ALL = 0o644 << 16

Entry = tuple[str, bytes]
ZipTime = tuple[int, int, int, int, int, int]


async def spool_archive(batch: BatchView, content: ContentClient, hops: Hops) -> Spool:
    """Return the archive: NAME.txt and NAME.json for each checked essay, and ``results.csv``.

    What is missing, an essay that failed or a text that cannot be read, is told in ``ERRORS.txt``.
    The same batch gives the same bytes: its own last change is the time of every entry.
    Raises ``Unavailable`` when the store of texts is away or the disk is full.
    """
    spool = Spool(hops)
    at = _zip_time(from_text(batch.updated_at))
    archive = zipfile.ZipFile(spool.file, "w", zipfile.ZIP_DEFLATED)
    errors: list[str] = []
    try:
        async with aclosing(_slices(batch, content, errors)) as slices:
            async for entries in slices:
                await spool.write(partial(_append, archive, entries, at))
        last = [(TABLE_NAME, as_csv(batch))]
        if errors:
            last.append((ERRORS_NAME, "".join(f"{line}\r\n" for line in errors).encode()))
        await spool.write(partial(_append, archive, last, at))
        await spool.write(archive.close)
    except BaseException:
        with closing(spool), suppress(OSError):  # what went wrong first is what is told
            archive.close()
        raise
    return spool


async def _slices(
    batch: BatchView, content: ContentClient, errors: list[str]
) -> AsyncGenerator[Sequence[Entry], None]:
    """Yield the entries of a few essays at a time; what is missing goes into ``errors``."""
    stems = unique_stems(batch.essays)
    start = 0
    async for texts in texts_of(content, batch.essays):
        entries: list[Entry] = []
        named = zip(
            batch.essays[start : start + SLICE_ESSAYS],
            stems[start : start + SLICE_ESSAYS],
            texts,
            strict=True,
        )
        for essay, stem, stored in named:
            _collect(essay, stem, stored, entries, errors)
        start += SLICE_ESSAYS
        yield entries


def _collect(
    essay: EssayView, stem: str, stored: EssayTexts, entries: list[Entry], errors: list[str]
) -> None:
    if essay.corrected_storage_id is None:
        errors.append(f"{stem}: {essay.status_text}{_because(essay.error)}")
        return
    for ending, what, text in (
        ("txt", "the corrected text", stored.corrected),
        ("json", "the list of corrections", stored.log),
    ):
        if isinstance(text, bytes):
            entries.append((f"{stem}.{ending}", text))
        elif isinstance(text, Missing):
            errors.append(f"{stem}.{ending}: {what} is missing: {text.why}")


def _because(error: str | None) -> str:
    return "" if error is None else f": {error}"


def _append(archive: zipfile.ZipFile, entries: Sequence[Entry], at: ZipTime) -> None:
    for name, content in entries:
        entry = zipfile.ZipInfo(name, date_time=at)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.create_system = 3  # Unix, wherever it is made: it gives the mode its meaning
        entry.external_attr = _READABLE_BY_ALL
        archive.writestr(entry, content)


def _zip_time(at: datetime) -> ZipTime:
    """Return the time of an entry; the format knows the years 1980 to 2107 only."""
    year = min(max(at.year, 1980), 2107)
    return year, at.month, at.day, at.hour, at.minute, at.second
