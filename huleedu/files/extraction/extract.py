"""Choosing the reader by the file's ending."""

from huleedu.files.errors import Unreadable, UnreadableReason
from huleedu.files.extraction.limits import ExtractionLimits
from huleedu.files.extraction.plain_text import read_plain_text
from huleedu.files.extraction.word_document import read_word_document
from huleedu.files.file_names import clean_file_name, ending_of

_READERS = {"txt": read_plain_text, "docx": read_word_document}
_KNOWN = {
    "pdf": "is a PDF, which cannot be read",
    "odt": "is an OpenDocument text, which cannot be read",
    "doc": "is an old Word document, which cannot be read",
    "rtf": "is a rich text document, which cannot be read",
    "pages": "is a Pages document, which cannot be read",
}
# White space to a reader, though not to str.strip: zero-width space, joiners, byte order mark.
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))


def extract(name: str, content: bytes, limits: ExtractionLimits) -> str:
    """Return the text of an uploaded .txt or .docx file.

    ``name`` may be as raw as it was uploaded.  The text has at least one visible character and
    at most ``limits.text_bytes_max`` bytes in UTF-8.

    Raises:
        Unreadable: with the reason and a message that says what to do.
    """
    shown = clean_file_name(name)
    ending = ending_of(shown)
    reader = _READERS.get(ending)
    if reader is None:
        if not ending:
            detail = "has no ending that tells what it is"
        else:
            detail = _KNOWN.get(ending, f"is a .{ending} file, which cannot be read")
        raise Unreadable(shown, UnreadableReason.UNSUPPORTED_ENDING, detail)
    if not content:
        raise Unreadable(shown, UnreadableReason.EMPTY_FILE)
    text = reader(shown, content, limits)
    if not text.translate(_INVISIBLE).strip():
        raise Unreadable(shown, UnreadableReason.NO_TEXT)
    return text
