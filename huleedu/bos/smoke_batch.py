"""The built-in batch of the smoke test: three short English essays with plain mistakes."""

from collections.abc import Mapping

from huleedu.bos.api_models import BatchRegistrationRequestV1

SMOKE_COURSE = "ENG5"

SMOKE_TEXTS: Mapping[str, str] = {
    "smoke-1": (
        "My summer holliday was wonderful. We travelled to the mountains and stayed in a small "
        "cabin beside a lake. Every morning I went swiming before breakfast, and in the evenings "
        "we sat around the fire and told storys.\n"
    ),
    "smoke-2": (
        "I beleive that every school should have a library. Books help students to understand "
        "the world, and a quiet room is neccessary for anyone who wants to think. Without it, "
        "learning becomes diffrent and much harder.\n"
    ),
    "smoke-3": (
        "The goverment should do more about pollution. Our enviroment is changing quickly, and "
        "young people will definately have to live with the consequences. It is time to act "
        "before it is too late.\n"
    ),
}
"""Texts by essay id."""


def smoke_registration() -> BatchRegistrationRequestV1:
    """Return the registration of the built-in batch."""
    return BatchRegistrationRequestV1(
        expected_essay_count=len(SMOKE_TEXTS),
        essay_ids=list(SMOKE_TEXTS),
        course_code=SMOKE_COURSE,
        class_designation="Smoke test",
        essay_instructions="Registered by the program itself to see that the whole way works.",
    )
