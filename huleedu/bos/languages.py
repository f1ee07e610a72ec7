"""In which language the essays of a course are written."""

from collections.abc import Mapping

from huleedu.core.enums import Language
from huleedu.core.errors import Rejected


class UnknownCourse(Rejected):
    """No course of this code is configured."""


def infer_language_from_course_code(course_code: str, courses: Mapping[str, Language]) -> Language:
    """Return the language of a course, for example ``sv`` for SV1 and ``en`` for ENG5.

    ``courses`` is the configured table (``config/courses.toml``); codes are taken literally.
    Raises ``UnknownCourse`` naming the courses that exist.
    """
    try:
        return courses[course_code]
    except KeyError:
        raise UnknownCourse(unknown_course(course_code, courses)) from None


def unknown_course(course_code: str, courses: Mapping[str, Language]) -> str:
    """Return the sentence that tells a caller which courses exist."""
    return f"unknown course {course_code[:40]!r}; these exist: {', '.join(sorted(courses))}"
