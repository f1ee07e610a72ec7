"""The multipart form of an upload, read as it arrives."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from litestar import Request
from multipart import (  # type: ignore[import-untyped]
    MultipartSegment,
    ParserError,
    ParserLimitReached,
    PushMultipartParser,
)

from huleedu.core.errors import TooLarge
from huleedu.core.hops import Hops
from huleedu.core.settings import Limits
from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.file_names import UNNAMED, clean_file_name
from huleedu.files.model import IncomingFile
from huleedu.files.sizes import in_megabytes
from huleedu.files.spool import Spool
from huleedu.web.body import MalformedBody

FIELD_BYTES_MAX = 1_000
"""Of a text field; the contract's longest, an essay id, has 128."""

FILE_NAME_BYTES_MAX = 4_096
"""Of a name as it was sent; what is over 255 bytes is shortened (see ``file_names``)."""

PART_HEADER_BYTES_MAX = 65_536
"""Of one header of a part; past it the whole form is refused.  A name of any likely length fits, so
that it is the fault of its own file only."""

OTHER_PARTS_MAX = 100
"""Fields that are not ours are ignored, up to this many."""

_MULTIPART = "multipart/form-data"
_BYTES_AS_LETTERS = "latin-1"


@dataclass(frozen=True)
class UploadForm:
    """What an upload says; the files can be read until the form's context is left."""

    batch_id: str
    files: list[IncomingFile]


@asynccontextmanager
async def read_upload_form(
    request: Request[Any, Any, Any], limits: Limits, hops: Hops
) -> AsyncIterator[UploadForm]:
    """Read the whole form of a request, and keep its files while the context lasts.

    Parts: ``batch_id``, ``files`` (one each file) and as many ``essay_id`` as files, or none; the
    nth ``essay_id`` belongs to the nth file, an empty one names no essay.  A file over
    ``limits.file_bytes``, or with a name that cannot be used, has no content; its neighbours do.

    Raises:
        MalformedBody: not such a form.
        TooLarge: over ``limits.upload_bytes`` or ``limits.upload_files``.
        StoreUnavailable: no room for temporary files.
    """
    async with Spool(hops) as spool:
        form = _FormReader(spool, limits)
        parser = _parser(request, limits)
        try:
            with parser:
                async for chunk in _chunks(request, limits.upload_bytes):
                    for event in parser.parse(chunk):
                        await form.take(event)
        except ParserLimitReached as error:
            raise TooLarge(
                f"the form has too many parts, or too long headers: {error.args[0]}"
            ) from error
        except ParserError as error:
            raise MalformedBody(f"the form is broken or incomplete: {error.args[0]}") from error
        yield form.result()


def _parser(request: Request[Any, Any, Any], limits: Limits) -> PushMultipartParser:
    kind, options = request.content_type
    boundary = options.get("boundary")
    if kind != _MULTIPART or not boundary:
        raise MalformedBody(f"the body must be a form, {_MULTIPART} with its boundary")
    try:
        return PushMultipartParser(
            boundary,
            max_header_size=PART_HEADER_BYTES_MAX,
            max_segment_count=2 * limits.upload_files + 2 + OTHER_PARTS_MAX,
            # It decodes every byte, so that no name breaks the form (see _named).
            header_charset=_BYTES_AS_LETTERS,
        )
    except ParserError as error:
        raise MalformedBody(f"the form's boundary is unusable: {error.args[0]}") from error


async def _chunks(request: Request[Any, Any, Any], bytes_max: int) -> AsyncIterator[bytes]:
    message = f"the upload is over {in_megabytes(bytes_max)}; send its files in several requests"
    if (request.content_length or 0) > bytes_max:
        raise TooLarge(message)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > bytes_max:
            raise TooLarge(message)
        yield chunk


@dataclass
class _Part:
    """One part while it arrives."""

    name: str
    file_name: str | None
    start: int
    fault: Unreadable | None = None
    length: int = 0
    text: bytearray = field(default_factory=bytearray)


class _FormReader:
    """Sorts the parts as they arrive."""

    def __init__(self, spool: Spool, limits: Limits) -> None:
        self._spool = spool
        self._limits = limits
        self._part: _Part | None = None
        self._batch_ids: list[str] = []
        self._essay_ids: list[str] = []
        self._files: list[_Part] = []

    async def take(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        """Take one event of the parser: a part's head, a piece of its body, or its end."""
        if isinstance(event, MultipartSegment):
            name, fault = _named(event.filename)
            self._part = _Part(event.name, name, self._spool.length, fault)
            return
        assert self._part is not None
        if event is None:
            self._end(self._part)
            self._part = None
        else:
            await self._body(self._part, bytes(event))

    async def _body(self, part: _Part, data: bytes) -> None:
        part.length += len(data)
        if part.name == "files":
            if part.fault is None and part.length <= self._limits.file_bytes:
                await self._spool.append(data)
        elif part.name in {"batch_id", "essay_id"}:
            if part.length > FIELD_BYTES_MAX:
                raise MalformedBody(f"the part {part.name} is over {FIELD_BYTES_MAX} bytes")
            part.text += data

    def _end(self, part: _Part) -> None:
        if part.name == "batch_id":
            self._batch_ids.append(_text(part))
        elif part.name == "essay_id":
            self._essay_ids.append(_text(part))
        elif part.name == "files":
            if part.file_name is None:
                raise MalformedBody("a part files has no file name; each must be a file")
            # What a browser sends for a field in which no file was chosen.
            if part.file_name or part.length:
                self._files.append(part)
        if len(self._files) > self._limits.upload_files:
            raise TooLarge(
                f"there are more than {self._limits.upload_files:,} files in this upload; "
                "send the rest in another one"
            )

    def result(self) -> UploadForm:
        """Return the form.  Raises ``MalformedBody``."""
        if not self._batch_ids or not self._batch_ids[0].strip():
            raise MalformedBody("the form has no batch_id: say which batch the files belong to")
        if len(self._batch_ids) > 1:
            raise MalformedBody("the form has more than one batch_id; upload for one batch a time")
        if not self._files:
            raise MalformedBody("the form has no files: send each in a part named files")
        essay_ids = self._essay_ids or [""] * len(self._files)
        if len(essay_ids) != len(self._files):
            raise MalformedBody(
                f"the form names {len(essay_ids)} essays for {len(self._files)} files: "
                "send an essay_id before each file, or none at all"
            )
        files = [
            IncomingFile(
                part.file_name or UNNAMED, essay_id or None, self._content(part), part.fault
            )
            for part, essay_id in zip(self._files, essay_ids, strict=True)
        ]
        return UploadForm(self._batch_ids[0].strip(), files)

    def _content(self, part: _Part) -> Any:
        if part.fault is not None or part.length > self._limits.file_bytes:
            return None
        return partial(self._spool.read, part.start, part.length)


def _named(sent: str | None) -> tuple[str | None, Unreadable | None]:
    """Return a file's name, fit to be shown, and why the file cannot be taken under it.

    ``sent`` is the name with a letter for each of its bytes.  None and empty stay what they are.
    """
    if not sent:
        return sent, None
    raw = sent.encode(_BYTES_AS_LETTERS)
    name = clean_file_name(raw.decode(errors="replace"))
    if len(raw) > FILE_NAME_BYTES_MAX:
        detail = f"{FILE_NAME_BYTES_MAX:,} bytes"
        return name, Unreadable(name, UnreadableReason.NAME_TOO_LONG, detail)
    try:
        raw.decode()
    except UnicodeDecodeError:
        return name, Unreadable(name, UnreadableReason.NAME_NOT_UTF8)
    return name, None


def _text(part: _Part) -> str:
    try:
        return part.text.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the part {part.name} is not UTF-8") from error
