"""What can be wrong with a body: faults, and the rules that several bodies share."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

# NUL ends a text in too many other systems; a lone surrogate is no character at all.
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
MISSING = object()
"""In place of a field that is not there."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a body: where (keys and indexes), in words, and its kind."""

    loc: tuple[str | int, ...]
    msg: str
    type: str


def missing(loc: tuple[str | int, ...]) -> Fault:
    """Return the fault of a field that is not there."""
    return Fault(loc, "this field is required", "missing")


def text_faults(body: Mapping[str, Any], field: str, characters_max: int | None) -> Iterator[Fault]:
    """Yield what is wrong with a field that must hold text; no limit where it is None."""
    loc = (field,)
    text = body.get(field, MISSING)
    if text is MISSING:
        yield missing(loc)
        return
    if not isinstance(text, str):
        yield Fault(loc, f"text is meant, not {kind(text)}", "string_type")
        return
    if not text.strip():
        yield Fault(loc, "it is blank", "string_blank")
    if characters_max is not None and len(text) > characters_max:
        too_long = f"it has {len(text):,} characters; at most {characters_max:,} are allowed"
        yield Fault(loc, too_long, "string_too_long")
    unusable = _UNUSABLE.search(text)
    if unusable is not None:
        character = f"U+{ord(unusable[0]):04X}"
        told = f"it contains {character} at position {unusable.start()}, which no text may hold"
        yield Fault(loc, told, "string_unicode")


def kind(value: object) -> str:
    """Return what a value of JSON is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    kinds = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)
