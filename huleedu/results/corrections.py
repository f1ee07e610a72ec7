"""A batch as JSON with the corrections of every essay, as large as they may be together."""

from collections.abc import Sequence
from contextlib import aclosing
from functools import partial

import msgspec

from huleedu.core.hops import Hops
from huleedu.core.ports import ContentClient
from huleedu.results.model import BatchView, EssayView
from huleedu.results.spool import Spool
from huleedu.results.texts import SLICE_ESSAYS, EssayTexts, Missing, texts_of

_UNREADABLE = "the list of corrections is not what it should be"


class _Log(msgspec.Struct):
    """What is needed of a processing log; the corrections are passed on as they are."""

    corrections: msgspec.Raw


_log_decoder = msgspec.json.Decoder(_Log)


async def spool_with_corrections(batch: BatchView, content: ContentClient, hops: Hops) -> Spool:
    """Return the JSON of the batch in which each essay has ``corrections`` from its log.

    They are null for an essay without a log; ``corrections_error`` says why where its log cannot
    be read.  Raises ``Unavailable`` when the store of texts is away or the disk is
    full.
    """
    spool = Spool(hops)
    whole = msgspec.to_builtins(batch)
    del whole["essays"]
    try:
        await spool.write(partial(spool.file.write, _opened(msgspec.json.encode(whole), "essays")))
        start = 0
        async with aclosing(texts_of(content, batch.essays, logs_only=True)) as slices:
            async for texts in slices:
                essays = batch.essays[start : start + SLICE_ESSAYS]
                await spool.write(partial(_append, spool, essays, texts, is_first=start == 0))
                start += SLICE_ESSAYS
        await spool.write(partial(spool.file.write, b"]}"))
    except BaseException:
        spool.close()
        raise
    return spool


def _opened(whole: bytes, member: str) -> bytes:
    """Return a JSON object that goes on with an array as its last member."""
    return whole[:-1] + f',"{member}":['.encode()


def _append(
    spool: Spool, essays: Sequence[EssayView], texts: Sequence[EssayTexts], *, is_first: bool
) -> None:
    objects = [_essay(essay, stored) for essay, stored in zip(essays, texts, strict=True)]
    spool.file.write((b"" if is_first else b",") + b",".join(objects))


def _essay(essay: EssayView, stored: EssayTexts) -> bytes:
    corrections, error = _corrections(stored.log)
    members = {"corrections": msgspec.Raw(corrections)} | (
        {} if error is None else {"corrections_error": msgspec.Raw(msgspec.json.encode(error))}
    )
    return msgspec.json.encode(essay)[:-1] + b"," + msgspec.json.encode(members)[1:]


def _corrections(log: bytes | Missing | None) -> tuple[bytes, str | None]:
    if log is None:
        return b"null", None
    if isinstance(log, Missing):
        return b"null", log.why
    try:
        return bytes(_log_decoder.decode(log).corrections), None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return b"null", _UNREADABLE
