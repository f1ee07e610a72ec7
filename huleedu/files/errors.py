"""Why a file could not be read, in a teacher's words."""

from enum import StrEnum

from huleedu.core.errors import Rejected


class UnreadableReason(StrEnum):
    """The stable slug of each way in which a file can be unreadable."""

    NAME_NOT_UTF8 = "name_not_utf8"
    NAME_TOO_LONG = "name_too_long"
    UNSUPPORTED_ENDING = "unsupported_ending"
    EMPTY_FILE = "empty_file"
    NO_TEXT = "no_text"
    MISLABELLED = "mislabelled"
    ENCRYPTED = "encrypted"
    DAMAGED = "damaged"
    DOCTYPE = "doctype"
    BINARY = "binary"
    UNKNOWN_ENCODING = "unknown_encoding"
    UNPACKS_TOO_LARGE = "unpacks_too_large"
    TOO_COMPLEX = "too_complex"
    TOO_MUCH_TEXT = "too_much_text"
    TOO_SLOW = "too_slow"
    TOO_MUCH_MEMORY = "too_much_memory"
    EXTRACTION_FAILED = "extraction_failed"


_AGAIN = "Save it as .docx or .txt and upload it again."
_COPY = "Copy its text into a new document, save that as .docx or .txt and upload it."
_REOPEN = "Open it in Word, save it again as .docx and upload that."
_RENAME = "Give the file another name and upload it again."

_SAID = {
    UnreadableReason.NAME_NOT_UTF8: f"The name of “{{name}}” is not in UTF-8. {_RENAME}",
    UnreadableReason.NAME_TOO_LONG: (
        f"The name of “{{name}}” is too long (more than {{detail}}). {_RENAME}"
    ),
    UnreadableReason.UNSUPPORTED_ENDING: f"“{{name}}” {{detail}}. {_AGAIN}",
    UnreadableReason.EMPTY_FILE: "“{name}” is empty. Check the file and upload it again.",
    UnreadableReason.NO_TEXT: (
        "There is no text in “{name}”: a picture or a scan cannot be read. "
        "Upload the essay as text, in .docx or .txt."
    ),
    UnreadableReason.MISLABELLED: f"“{{name}}” is not {{detail}}. {_AGAIN}",
    UnreadableReason.ENCRYPTED: (
        "“{name}” is protected by a password. Remove the password, save it and upload it again."
    ),
    UnreadableReason.DAMAGED: f"“{{name}}” is damaged and cannot be opened. {_REOPEN}",
    UnreadableReason.DOCTYPE: (
        f"“{{name}}” holds a document type declaration, which no Word document needs. {_REOPEN}"
    ),
    UnreadableReason.BINARY: f"“{{name}}” holds something else than text. {_AGAIN}",
    UnreadableReason.UNKNOWN_ENCODING: (
        "The letters in “{name}” cannot be made out: {detail}. "
        "Save it as text in UTF-8, or as .docx, and upload it again."
    ),
    UnreadableReason.UNPACKS_TOO_LARGE: (
        f"“{{name}}” is too large once unpacked (more than {{detail}}). {_COPY}"
    ),
    UnreadableReason.TOO_COMPLEX: f"“{{name}}” is too complex: it has {{detail}}. {_COPY}",
    UnreadableReason.TOO_MUCH_TEXT: (
        "“{name}” holds more text than an essay (more than {detail}). "
        "Upload one file for each essay."
    ),
    UnreadableReason.TOO_SLOW: f"Reading “{{name}}” took too long (more than {{detail}}). {_COPY}",
    UnreadableReason.TOO_MUCH_MEMORY: f"Reading “{{name}}” took too much memory. {_COPY}",
    UnreadableReason.EXTRACTION_FAILED: f"“{{name}}” could not be read. {_COPY}",
}


class Unreadable(Rejected):
    """A file from which no text can be had: ``str()`` of it is meant for a teacher.

    ``file_name`` is the file's name, already fit to be shown; ``reason`` is for programs; and
    ``detail`` completes the sentence of the reasons that need it.
    """

    def __init__(self, file_name: str, reason: UnreadableReason, detail: str = "") -> None:
        super().__init__(_SAID[reason].format(name=file_name, detail=detail))
        self.file_name = file_name
        self.reason = reason
        self.detail = detail
