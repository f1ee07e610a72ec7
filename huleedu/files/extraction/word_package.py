"""The zip file around a Word document, read with a bound on what it may unpack to."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO

from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.extraction.limits import ExtractionLimits

_DIRECTORY_ENTRY = b"PK\x01\x02"
_ENCRYPTED = 0x1
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # OPC (ECMA-376-2) knows no others
# Expat 2.5 looks through an unfinished tag again with every chunk: few large ones keep that cheap.
_CHUNK_BYTES = 2**20
# What zipfile is known to raise for bytes that are not a sound zip file.
_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    ValueError,
)


class WordPackage:
    """The parts of one .docx by name; unpacked bytes are counted over all parts read.

    The zip's directory is not believed when it says that a part is small, and no name in it is
    used as a path.

    Raises:
        Unreadable: damaged, encrypted, too_complex; from :meth:`chunks` also unpacks_too_large.
    """

    def __init__(self, file_name: str, content: bytes, limits: ExtractionLimits) -> None:
        self._file_name = file_name
        self._unpacked_bytes_max = limits.unpacked_bytes_max
        self._unpacked_bytes = 0
        # Counted before zipfile makes an object of each.
        if content.count(_DIRECTORY_ENTRY) > limits.members_max:
            detail = f"more than {limits.members_max:,} parts"
            raise Unreadable(file_name, UnreadableReason.TOO_COMPLEX, detail)
        try:
            self._zip = zipfile.ZipFile(BytesIO(content))
        except _FAULTS as error:
            raise Unreadable(file_name, UnreadableReason.DAMAGED) from error
        self._parts = {_normal(info.filename): info for info in self._zip.infolist()}

    def __contains__(self, part: str) -> bool:
        return _normal(part) in self._parts

    def chunks(self, part: str) -> Iterator[bytes]:
        """Yield the part's bytes, at most 1 MiB at a time.  ``part`` must be contained."""
        info = self._parts[_normal(part)]
        if info.flag_bits & _ENCRYPTED:
            raise Unreadable(self._file_name, UnreadableReason.ENCRYPTED)
        if info.compress_type not in _METHODS:
            raise Unreadable(self._file_name, UnreadableReason.DAMAGED)
        if info.file_size > self._unpacked_bytes_max:  # honest, or a lie not worth unpacking
            raise self._too_large()
        try:
            with self._zip.open(info) as unpacking:
                while chunk := unpacking.read(_CHUNK_BYTES):
                    self._count(len(chunk))
                    yield chunk
        except _FAULTS as error:
            raise Unreadable(self._file_name, UnreadableReason.DAMAGED) from error

    def _count(self, unpacked_bytes: int) -> None:
        self._unpacked_bytes += unpacked_bytes
        if self._unpacked_bytes > self._unpacked_bytes_max:
            raise self._too_large()

    def _too_large(self) -> Unreadable:
        detail = f"{self._unpacked_bytes_max / 2**20:,.0f} MiB"
        return Unreadable(self._file_name, UnreadableReason.UNPACKS_TOO_LARGE, detail)


def _normal(part: str) -> str:
    """Return the name by which parts are compared: OPC names are equal regardless of case."""
    return part.replace("\\", "/").lstrip("/").casefold()
