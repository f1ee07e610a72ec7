"""The processing log of one essay: what was corrected and what was flagged, as JSON."""

import msgspec

from huleedu.core.enums import Language
from huleedu.spellcheck.model import CheckedText, Correction

ENGINE = "huleedu-hunspell-symspell/1"
"""Name and version of what decides the corrections; raised when it decides otherwise."""


class ProcessingLog(msgspec.Struct, frozen=True, kw_only=True):
    """The log's JSON object.  Offsets and lengths count code points of the original text."""

    essay_id: str
    language: Language
    engine: str
    corrections: tuple[Correction, ...]


def processing_log(essay_id: str, language: Language, checked: CheckedText) -> bytes:
    """Return the log of one checked essay as JSON in UTF-8."""
    return msgspec.json.encode(
        ProcessingLog(
            essay_id=essay_id, language=language, engine=ENGINE, corrections=checked.corrections
        )
    )
