"""As much of JSON Schema as our own schemas use; a keyword that it does not know is an error."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
SAYS_NOTHING = {"$schema", "$id", "$defs", "title", "description", "default"}


def faults(schema: Mapping[str, Any], value: object) -> list[str]:
    """Return where ``value`` differs from ``schema``; empty when it satisfies it."""
    return list(_faults(schema, schema, value, "$"))


def _faults(
    root: Mapping[str, Any], schema: Mapping[str, Any], value: Any, where: str
) -> Iterator[str]:
    said = {keyword: meant for keyword, meant in schema.items() if keyword not in SAYS_NOTHING}
    if "$ref" in said:
        name = said.pop("$ref").rpartition("/")[2]
        yield from _faults(root, root["$defs"][name], value, where)
    choices = said.pop("anyOf", None)
    if choices and all(any(_faults(root, one, value, where)) for one in choices):
        yield f"{where}: fits none of {choices}"
    for name, inner in said.pop("properties", {}).items():
        if isinstance(value, dict) and name in value:
            yield from _faults(root, inner, value[name], f"{where}.{name}")
    for part in value if isinstance(value, list) else ():
        yield from _faults(root, said.get("items", {}), part, f"{where}[]")
    for part in value.values() if isinstance(value, dict) else ():
        yield from _faults(root, said.get("additionalProperties", {}), part, f"{where}[]")
    for keyword, meant in said.items():
        if not FITS[keyword](meant, value):
            yield f"{where}: {value!r} is not {keyword} {meant!r}"


def _is_type(name: str, value: Any) -> bool:
    return isinstance(value, TYPES[name]) and not isinstance(value, bool)


def _is_formatted(name: str, value: Any) -> bool:
    try:
        return FORMATS[name](value) if isinstance(value, str) else True  # "type" says the rest
    except ValueError:
        return False


FORMATS: dict[str, Callable[[str], bool]] = {
    "uuid": lambda text: bool(UUID(text)),
    "date-time": lambda text: datetime.fromisoformat(text).tzinfo is not None,
}
FITS: dict[str, Callable[[Any, Any], bool]] = {
    "type": _is_type,
    "format": _is_formatted,
    "enum": lambda meant, value: value in meant,
    "const": lambda meant, value: value == meant,
    "minimum": lambda meant, value: not isinstance(value, int) or value >= meant,
    "maximum": lambda meant, value: not isinstance(value, int) or value <= meant,
    "minItems": lambda meant, value: not isinstance(value, list) or len(value) >= meant,
    "minLength": lambda meant, value: not isinstance(value, str) or len(value) >= meant,
    "maxLength": lambda meant, value: not isinstance(value, str) or len(value) <= meant,
    "required": lambda meant, value: not isinstance(value, dict) or set(meant) <= set(value),
    "items": lambda meant, value: True,  # looked into above
    "additionalProperties": lambda meant, value: True,
}
