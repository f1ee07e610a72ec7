"""Names of files that a teacher downloads: harmless on every system, each of them once."""

import re
import unicodedata
from collections.abc import Sequence
from urllib.parse import quote

from huleedu.results.model import EssayView

NAME_CHARACTERS_MAX = 100
"""Of one name without its ending: room for ``.json`` and a number in the 255 bytes of a name."""

_UNSAFE = re.compile(r'[<>:"/\\|?*]')
_NOT_ASCII_SAFE = re.compile(r"[^A-Za-z0-9._-]")
# Windows opens a device for these, whatever their ending.
_DEVICES = frozenset(
    {
        *("con", "prn", "aux", "nul", "conin$", "conout$"),
        *(f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"),
    }
)
RESERVED = frozenset({"errors", "results"})
"""Names that the archive uses itself."""


def safe_stem(file_name: str | None) -> str:
    """Return a file's name without folders and ending, for any file system; may be empty.

    Composed letters (NFC); control and invisible characters are left out, those that a file
    system reserves become ``_``; no dot or space at either end; at most 100 characters, and 200
    bytes of UTF-8.
    """
    name = unicodedata.normalize("NFC", file_name or "").replace("\\", "/").rpartition("/")[2]
    stem, dot, _ending = name.rpartition(".")
    visible = "".join(c for c in (stem if dot else name) if not _is_invisible(c))
    cut = _UNSAFE.sub("_", visible).strip(". ")[:NAME_CHARACTERS_MAX]
    short = cut.encode()[:200].decode(errors="ignore").strip(". ")
    return f"_{short}" if short.partition(".")[0].strip().lower() in _DEVICES else short


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def unique_stems(essays: Sequence[EssayView]) -> Sequence[str]:
    """Return a name for each essay: its file's, else its id; alike ones get a number.

    Names that differ in capitals only count as alike, since many file systems take them so.
    """
    taken = set(RESERVED)
    numbers: dict[str, int] = {}  # the last one tried for a name, so that many alike stay cheap
    stems = []
    for essay in essays:
        wished = safe_stem(essay.file_name) or safe_stem(f"{essay.essay_id}.") or "essay"
        stem = wished
        while stem.casefold() in taken:
            numbers[wished.casefold()] = number = numbers.get(wished.casefold(), 1) + 1
            stem = f"{wished} ({number})"
        taken.add(stem.casefold())
        stems.append(stem)
    return stems


def content_disposition(stem: str, ending: str) -> str:
    """Return the header that names a download: in ASCII, and as it is (RFC 6266, RFC 5987)."""
    plain = _NOT_ASCII_SAFE.sub("_", stem)[:NAME_CHARACTERS_MAX]
    exact = quote(stem[:NAME_CHARACTERS_MAX], safe="")
    return f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{exact}.{ending}"
