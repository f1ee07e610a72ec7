"""The bodies of a teacher's actions, and everything that can be wrong with one."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from huleedu.bos.actions import Action, Cancel, Extend, Proceed, Retry
from huleedu.bos.faults import MISSING, Fault, kind, missing, text_faults
from huleedu.core.messages import READINESS_TIMEOUT_MAX, Moment
from huleedu.core.messages.references import in_utc

EXTENSION_MAX = READINESS_TIMEOUT_MAX
"""How far ahead a deadline may lie: no further than a registration may ask to wait."""
REASON_CHARACTERS_MAX = 1_000
"""Our own bound: the contract names none, and every essay that is stopped shows this text."""
CANCELLED_BY_CHARACTERS_MAX = 200


def extension(body: object, now: datetime) -> Action | list[Fault]:
    """Return the extension that a body asks for, or all its faults.  ``body`` is decoded JSON."""
    if not isinstance(body, dict):
        return [_not_an_object(body)]
    deadline = _deadline(body, now)
    return [deadline] if isinstance(deadline, Fault) else Extend(deadline)


def cancellation(body: object, _now: datetime) -> Action | list[Fault]:
    """Return the cancelling that a body asks for, or all its faults."""
    if not isinstance(body, dict):
        return [_not_an_object(body)]
    faults = [
        *_optional_text_faults(body, "reason", REASON_CHARACTERS_MAX),
        *_optional_text_faults(body, "cancelled_by", CANCELLED_BY_CHARACTERS_MAX),
    ]
    return faults or Cancel(body.get("reason"), body.get("cancelled_by"))


def proceeding(body: object, _now: datetime) -> Action | list[Fault]:
    """Return the wish to go on; its body has no fields."""
    return Proceed() if isinstance(body, dict) else [_not_an_object(body)]


def retrying(body: object, _now: datetime) -> Action | list[Fault]:
    """Return the wish to check again; its body has no fields."""
    return Retry() if isinstance(body, dict) else [_not_an_object(body)]


def _not_an_object(body: object) -> Fault:
    return Fault((), f"a JSON object is meant, not {kind(body)}", "dict_type")


def _deadline(body: Mapping[str, Any], now: datetime) -> datetime | Fault:
    loc = ("deadline",)
    given = body.get("deadline", MISSING)
    if given is MISSING:
        return missing(loc)
    if not isinstance(given, str):
        return Fault(loc, f"a time as text is meant, not {kind(given)}", "string_type")
    try:
        deadline: datetime = in_utc(msgspec.convert(given, Moment))
    except (msgspec.ValidationError, ValueError):
        meant = "a time with its offset from UTC is meant, as in 2026-01-12T08:00:00+01:00"
        return Fault(loc, f"{given[:40]!a}: {meant}", "datetime_parsing")
    if deadline <= now:
        return Fault(loc, "it is past; a time in the future is meant", "datetime_future")
    if deadline > now + EXTENSION_MAX:
        days = EXTENSION_MAX.days
        return Fault(loc, f"it is more than {days} days ahead", "out_of_range")
    return deadline


def _optional_text_faults(
    body: Mapping[str, Any], field: str, characters_max: int
) -> Iterator[Fault]:
    return text_faults(body, field, characters_max) if body.get(field) is not None else iter(())
