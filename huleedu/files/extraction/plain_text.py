"""The text of a .txt file: which encoding it is in, and whether it is text at all."""

import codecs

from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.extraction.limits import ExtractionLimits
from huleedu.files.extraction.sniffing import looks_like

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
# What editors and Word's export to text leave behind besides tab and line ends: vertical tab, form
# feed, DOS's end of file, Word's two hyphens.
_HARMLESS = frozenset("\t\n\r\v\f\x1a\x1e\x1f")
_CONTROL = "".join(chr(code) for code in range(32) if chr(code) not in _HARMLESS)


def read_plain_text(name: str, content: bytes, limits: ExtractionLimits) -> str:
    """Return the text with its line endings as they are and without a byte order mark.

    The encoding is what a byte order mark says, else UTF-8, else Windows-1252: right on 9 of 9
    Swedish samples, where statistical detection was right on 3.

    Raises:
        Unreadable: mislabelled, binary, unknown_encoding or too_much_text.
    """
    if what := looks_like(content):
        detail = f"plain text inside (it looks like {what})"
        raise Unreadable(name, UnreadableReason.MISLABELLED, detail)
    text = _decoded(name, content)
    if any(control in text for control in _CONTROL):
        raise Unreadable(name, UnreadableReason.BINARY)
    if len(text.encode()) > limits.text_bytes_max:
        detail = f"{limits.text_bytes_max:,} bytes"
        raise Unreadable(name, UnreadableReason.TOO_MUCH_TEXT, detail)
    return text


def _decoded(name: str, content: bytes) -> str:
    for mark, encoding, shown in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            try:
                return content[len(mark) :].decode(encoding)
            except UnicodeDecodeError as error:
                detail = f"it says that it is {shown}, but is not"
                raise Unreadable(name, UnreadableReason.UNKNOWN_ENCODING, detail) from error
    if 0 in content:
        raise Unreadable(name, UnreadableReason.BINARY)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass  # then the older encoding of Western European Windows
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError as error:
        detail = "it is neither UTF-8 nor Windows-1252"
        raise Unreadable(name, UnreadableReason.UNKNOWN_ENCODING, detail) from error
