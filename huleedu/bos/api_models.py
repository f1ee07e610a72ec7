"""The body of a registration, and everything that can be wrong with one."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from huleedu.bos.faults import MISSING, Fault, kind, missing, text_faults
from huleedu.bos.languages import unknown_course
from huleedu.core.enums import Language
from huleedu.core.messages import ESSAY_ID, READINESS_TIMEOUT_MAX, READINESS_TIMEOUT_MIN
from huleedu.core.settings import Limits

FAULTS_MAX = 100
"""Faults listed in one answer; a last entry says how many more there are."""
CLASS_DESIGNATION_CHARACTERS_MAX = 1_000
"""Our own bound: the contract names none, and a list of batches shows this text."""

_ESSAY_ID_RULE = "1-128 characters out of A-Z a-z 0-9 . _ : - and space are meant"


class BatchRegistrationRequestV1(msgspec.Struct, frozen=True, kw_only=True):
    """A class of essays to be registered; made from a body without faults only."""

    expected_essay_count: int
    """Number of essays in the batch: the length of ``essay_ids``."""
    essay_ids: list[str]
    course_code: str
    class_designation: str
    essay_instructions: str
    readiness_timeout_seconds: float | None = None
    """How long to wait for the essays' texts; None: as configured in ELS."""


def registration_faults(
    body: object, courses: Mapping[str, Language], limits: Limits
) -> list[Fault]:
    """Return everything that is wrong with the body of a registration; empty when it is right.

    ``body`` is decoded JSON.  Fields that we do not know are ignored.
    """
    if not isinstance(body, dict):
        return [Fault((), f"a JSON object is meant, not {kind(body)}", "dict_type")]
    faults = [
        *_count_faults(body),
        *_essay_ids_faults(body, limits),
        *_course_faults(body, courses),
        *text_faults(body, "class_designation", CLASS_DESIGNATION_CHARACTERS_MAX),
        *text_faults(body, "essay_instructions", limits.instructions_characters),
        *_timeout_faults(body),
    ]
    if len(faults) > FAULTS_MAX:
        more = len(faults) - FAULTS_MAX
        faults[FAULTS_MAX:] = [Fault((), f"and {more:,} more faults", "too_many_faults")]
    return faults


def registration_of(body: object) -> BatchRegistrationRequestV1:
    """Return the registration that a body without faults describes."""
    return msgspec.convert(body, BatchRegistrationRequestV1)


def _count_faults(body: Mapping[str, Any]) -> Iterator[Fault]:
    loc = ("expected_essay_count",)
    count = body.get("expected_essay_count", MISSING)
    if count is MISSING:
        yield missing(loc)
    elif not isinstance(count, int) or isinstance(count, bool):
        yield Fault(loc, f"a whole number is meant, not {kind(count)}", "int_type")
    elif count <= 0:
        yield Fault(loc, f"it is {count}; at least 1 is meant", "greater_than")
    else:
        ids = body.get("essay_ids")
        if isinstance(ids, list) and len(ids) != count:
            yield Fault(loc, f"it is {count:,}, but essay_ids names {len(ids):,}", "value_error")


def _essay_ids_faults(body: Mapping[str, Any], limits: Limits) -> Iterator[Fault]:
    loc = ("essay_ids",)
    ids = body.get("essay_ids", MISSING)
    if ids is MISSING:
        yield missing(loc)
    elif not isinstance(ids, list):
        yield Fault(loc, f"a list of essay ids is meant, not {kind(ids)}", "list_type")
    elif not ids:
        yield Fault(loc, "at least 1 essay id is meant", "too_short")
    else:
        if len(ids) > limits.essays_per_batch:
            at_most = f"at most {limits.essays_per_batch:,} are allowed in a batch"
            yield Fault(loc, f"it names {len(ids):,} essays; {at_most}", "too_long")
        yield from _each_essay_id(ids)


def _each_essay_id(ids: list[Any]) -> Iterator[Fault]:
    first_at: dict[str, int] = {}
    for index, essay_id in enumerate(ids):
        loc = ("essay_ids", index)
        if not isinstance(essay_id, str):
            yield Fault(loc, f"text is meant, not {kind(essay_id)}", "string_type")
        elif not ESSAY_ID.fullmatch(essay_id):
            yield Fault(loc, f"{_shown(essay_id)}: {_ESSAY_ID_RULE}", "string_pattern_mismatch")
        elif not essay_id.strip():
            yield Fault(loc, "it is blank", "string_blank")
        elif essay_id in first_at:
            earlier = f"already at position {first_at[essay_id]}"
            yield Fault(loc, f"duplicate essay id {essay_id!r}, {earlier}", "duplicate")
        else:
            first_at[essay_id] = index


def _course_faults(body: Mapping[str, Any], courses: Mapping[str, Language]) -> Iterator[Fault]:
    faults = list(text_faults(body, "course_code", None))
    yield from faults
    if not faults and body["course_code"] not in courses:
        yield Fault(("course_code",), unknown_course(body["course_code"], courses), "value_error")


def _timeout_faults(body: Mapping[str, Any]) -> Iterator[Fault]:
    loc = ("readiness_timeout_seconds",)
    seconds = body.get("readiness_timeout_seconds")
    if seconds is None:
        return
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        yield Fault(loc, f"a number of seconds is meant, not {kind(seconds)}", "float_type")
        return
    at_least, at_most = READINESS_TIMEOUT_MIN.total_seconds(), READINESS_TIMEOUT_MAX.total_seconds()
    if not at_least <= seconds <= at_most:
        allowed = f"1 s to 90 days ({at_most:,.0f} s) are allowed"
        yield Fault(loc, f"out of range; {allowed}", "out_of_range")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:40] + "…")
