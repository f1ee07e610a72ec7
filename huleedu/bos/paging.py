"""Opaque cursors: where in a list the next page starts."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

from huleedu.core.errors import Rejected

_POSITION_MAX = 2**63 - 1  # what SQLite's integers hold


class UnusableCursor(Rejected):
    """The cursor is none that we gave out."""


def cursor_at(position: int) -> str:
    """Return the cursor of a position."""
    return urlsafe_b64encode(str(position).encode()).decode().rstrip("=")


def position_of(cursor: str) -> int:
    """Return the position of a cursor that :func:`cursor_at` made.  Raises ``UnusableCursor``."""
    try:
        text = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        position = int(text) if text.isdigit() else -1
    except (UnicodeError, binascii.Error, ValueError) as error:
        raise _unusable(cursor) from error
    if not 0 <= position <= _POSITION_MAX or cursor_at(position) != cursor:
        raise _unusable(cursor)
    return position


def _unusable(cursor: str) -> UnusableCursor:
    return UnusableCursor(f"cursor {cursor[:40]!r} is none of ours; take next_cursor of an answer")
