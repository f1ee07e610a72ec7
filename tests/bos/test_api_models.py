"""What is wrong with the body of a registration."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.bos.api_models import (
    FAULTS_MAX,
    BatchRegistrationRequestV1,
    registration_faults,
    registration_of,
)
from huleedu.core.settings import Limits
from tests.bos.building import COURSES, body

LIMITS = Limits(essays_per_batch=5, instructions_characters=50)


def faults_in(value: object) -> list[tuple[tuple[str | int, ...], str]]:
    return [(fault.loc, fault.type) for fault in registration_faults(value, COURSES, LIMITS)]


def test_a_right_body_has_no_faults_and_becomes_a_registration() -> None:
    """All fields are taken over; those that we do not know are ignored."""
    right = body(readiness_timeout_seconds=90, favourite_colour={"deep": ["x"]})

    assert faults_in(right) == []
    assert registration_of(right) == BatchRegistrationRequestV1(
        expected_essay_count=3,
        essay_ids=["essay-1", "essay-2", "essay-3"],
        course_code="ENG5",
        class_designation="Class 9A",
        essay_instructions="Write about your summer.",
        readiness_timeout_seconds=90.0,
    )


def test_every_fault_is_listed_at_once() -> None:
    """Whatever is wrong anywhere in the body is told in one answer."""
    wrong = {
        "expected_essay_count": 7,
        "essay_ids": ["a", "å", "a", 4, "", "x" * 129],
        "course_code": "KLINGON1",
        "essay_instructions": "x" * 51,
        "readiness_timeout_seconds": 0.5,
    }

    assert faults_in(wrong) == [
        (("expected_essay_count",), "value_error"),
        (("essay_ids",), "too_long"),
        (("essay_ids", 1), "string_pattern_mismatch"),
        (("essay_ids", 2), "duplicate"),
        (("essay_ids", 3), "string_type"),
        (("essay_ids", 4), "string_pattern_mismatch"),
        (("essay_ids", 5), "string_pattern_mismatch"),
        (("course_code",), "value_error"),
        (("class_designation",), "missing"),
        (("essay_instructions",), "string_too_long"),
        (("readiness_timeout_seconds",), "out_of_range"),
    ]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"expected_essay_count": ...}, (("expected_essay_count",), "missing")),
        ({"expected_essay_count": 0}, (("expected_essay_count",), "greater_than")),
        ({"expected_essay_count": True}, (("expected_essay_count",), "int_type")),
        ({"expected_essay_count": "3"}, (("expected_essay_count",), "int_type")),
        ({"expected_essay_count": 3.0}, (("expected_essay_count",), "int_type")),
        ({"expected_essay_count": None}, (("expected_essay_count",), "int_type")),
        ({"expected_essay_count": 2}, (("expected_essay_count",), "value_error")),
        ({"essay_ids": "abc"}, (("essay_ids",), "list_type")),
        ({"essay_ids": ["a", "b\n"]}, (("essay_ids", 1), "string_pattern_mismatch")),
        ({"essay_ids": ["a", "  "]}, (("essay_ids", 1), "string_blank")),
        ({"course_code": 5}, (("course_code",), "string_type")),
        ({"course_code": "eng5"}, (("course_code",), "value_error")),
        ({"course_code": " "}, (("course_code",), "string_blank")),
        ({"class_designation": ""}, (("class_designation",), "string_blank")),
        ({"class_designation": "9\x00A"}, (("class_designation",), "string_unicode")),
        ({"class_designation": "x" * 1_001}, (("class_designation",), "string_too_long")),
        ({"essay_instructions": "a\ud800"}, (("essay_instructions",), "string_unicode")),
        ({"essay_instructions": ["a"]}, (("essay_instructions",), "string_type")),
        ({"readiness_timeout_seconds": True}, (("readiness_timeout_seconds",), "float_type")),
        ({"readiness_timeout_seconds": "60"}, (("readiness_timeout_seconds",), "float_type")),
        (
            {"readiness_timeout_seconds": 7_776_001},
            (("readiness_timeout_seconds",), "out_of_range"),
        ),
        ({"readiness_timeout_seconds": -1}, (("readiness_timeout_seconds",), "out_of_range")),
    ],
)
def test_one_fault_is_told_where_it_is(
    changes: dict[str, Any], fault: tuple[tuple[str | int, ...], str]
) -> None:
    """A single fault is told alone, with its place and its kind."""
    assert faults_in(body(**changes)) == [fault]


@pytest.mark.parametrize("seconds", [1, 1.5, 86_400, 7_776_000, None])
def test_a_deadline_within_the_limits_is_taken(seconds: float | None) -> None:
    """1 second to 90 days, or none."""
    assert faults_in(body(readiness_timeout_seconds=seconds)) == []


def test_a_batch_without_essays_is_no_batch() -> None:
    """No ids are a fault, and so is a count that differs from them."""
    assert faults_in(body(essay_ids=[], expected_essay_count=3)) == [
        (("expected_essay_count",), "value_error"),
        (("essay_ids",), "too_short"),
    ]


def test_messages_name_what_exists_and_what_collides() -> None:
    """An unknown course tells the known ones, a duplicate id itself and its first place."""
    wrong = body(essay_ids=["x", "y", "x"], course_code="FR1")

    told = [fault.msg for fault in registration_faults(wrong, COURSES, LIMITS)]

    assert told == [
        "duplicate essay id 'x', already at position 0",
        "unknown course 'FR1'; these exist: ENG5, SV1",
    ]


def test_a_body_that_is_no_object_is_one_fault_at_its_root() -> None:
    """A list or a text is no registration."""
    assert faults_in([1]) == [((), "dict_type")]
    assert faults_in("x") == [((), "dict_type")]


def test_the_list_of_faults_is_bounded() -> None:
    """A thousand bad ids cost one entry that says how many more there are."""
    many = registration_faults(body(essay_ids=["?"] * 1_000), COURSES, Limits())

    assert len(many) == FAULTS_MAX + 1
    assert many[-1].msg == "and 900 more faults"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*body(), "readiness_timeout_seconds"]), json_values))
def test_what_has_no_faults_can_be_registered(changes: dict[str, Any]) -> None:
    """Whatever comes, it is either told as faults or becomes a registration; nothing breaks."""
    candidate = body() | changes

    if not registration_faults(candidate, COURSES, LIMITS):
        assert registration_of(candidate).course_code in COURSES
