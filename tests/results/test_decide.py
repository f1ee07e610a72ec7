"""What a batch and its essays are, after what was heard about them."""

from datetime import timedelta

import pytest

from huleedu.core.enums import BatchStatus, EssayStatus
from huleedu.core.errors import MalformedMessage, NotFound
from huleedu.core.message import Message
from huleedu.results.model import BatchView
from tests.results.projecting import MOMENT, Projection, seen_after
from tests.results.story import START, Story


def statuses(view: BatchView) -> list[EssayStatus | None]:
    return [essay.status for essay in view.essays]


def test_a_batch_is_unknown_until_its_registration() -> None:
    """What comes before the registration is kept, and the batch is asked for again in a moment."""
    story = Story()
    projection = Projection().hear([story.content("a"), story.checked("a")])

    with pytest.raises(NotFound) as caught:
        projection.view()
    assert caught.value.retry_after_seconds == 1.0

    view = projection.hear([story.registered()]).view()
    projection.close()
    assert statuses(view) == [EssayStatus.SPELLCHECKED_SUCCESS, None]


def test_the_status_follows_the_batch_from_registration_to_outcome() -> None:
    """Each step of a batch shows in its status and in its plain words."""
    story = Story()
    messages = story.without_failures()
    steps = {
        1: (BatchStatus.AWAITING_CONTENT_VALIDATION, "Waiting for texts: 0 of 2 are here"),
        2: (BatchStatus.AWAITING_CONTENT_VALIDATION, "Waiting for texts: 1 of 2 are here"),
        4: (
            BatchStatus.READY_FOR_PIPELINE_EXECUTION,
            "Every text is there; the check is about to start",
        ),
        5: (BatchStatus.PROCESSING_PIPELINES, "Being checked: 0 of 2 are done"),
        7: (BatchStatus.PROCESSING_PIPELINES, "Being checked: 1 of 2 are done"),
        9: (BatchStatus.COMPLETED_SUCCESSFULLY, "Done"),
    }

    seen = {count: seen_after(*messages[:count]) for count in steps}

    assert steps == {count: (view.status, view.status_text) for count, view in seen.items()}
    assert [view.is_finished for view in seen.values()] == [False] * 5 + [True]
    assert seen[9].correlation_id == "7d3f3b52-7b0f-4c2e-9d5e-0c8e2f6a1b11"
    assert tuple(getattr(seen[9].counts, f) for f in COUNTS) == (2, 2, 0, 2, 0, 6)


COUNTS = ("expected", "texts_received", "pending", "succeeded", "failed", "corrections")


def test_an_outcome_waits_for_the_results_that_it_overtook() -> None:
    """A batch is not finished before the results that its outcome speaks of are here."""
    *before, first, second, outcome = Story().without_failures()

    early = seen_after(*before, outcome)
    assert (early.status, early.is_finished) == (BatchStatus.PROCESSING_PIPELINES, False)
    assert seen_after(*before, outcome, second, first).is_finished


def test_no_outcome_waits_for_ever() -> None:
    """Results that do not come within half a minute are waited for no more."""
    *before, _, _, outcome = Story().without_failures()

    late = seen_after(*before, outcome, now=MOMENT + timedelta(seconds=31))

    assert (late.status, late.is_finished) == (BatchStatus.COMPLETED_SUCCESSFULLY, True)


def test_a_result_of_an_older_attempt_changes_nothing() -> None:
    """Once a check is asked for again, what the first attempt still says is of no account."""
    story = Story(essay_ids=["a"])
    before = [
        story.registered(),
        story.content("a"),
        story.ready(),
        story.requested("a"),
        story.failed("a", message="the checker stopped"),
        story.concluded(failed=["a"]),
        story.requested("a", attempt=2),
    ]

    view = seen_after(*before, story.checked("a", attempt=1))

    assert statuses(view) == [EssayStatus.AWAITING_SPELLCHECK]
    assert (view.essays[0].error, view.essays[0].corrections_made, view.attempt) == (None, None, 2)
    assert not view.is_finished


def test_the_outcome_tells_which_of_two_answers_counted() -> None:
    """A late success after ELS gave the essay up stays without effect."""
    story = Story(essay_ids=["a"])
    before = [story.registered(), story.content("a"), story.ready(), story.requested("a")]
    outcome = story.concluded(failed=["a"])

    view = seen_after(*before, outcome, story.checked("a"))

    assert statuses(view) == [EssayStatus.SPELLCHECK_FAILED]
    assert view.essays[0].error == "The check did not finish in time; try again."
    assert view.essays[0].corrected_storage_id is None
    assert (view.status, view.is_finished) == (BatchStatus.FAILED_CRITICALLY, True)


def test_a_batch_that_went_on_without_any_text_has_failed() -> None:
    """Proceeding with nothing ends the batch."""
    story = Story()

    view = seen_after(story.registered(), story.proceeded(), story.ready([]))

    assert statuses(view) == [EssayStatus.CONTENT_INGESTION_FAILED] * 2
    assert (view.status, view.is_finished) == (BatchStatus.CONTENT_INGESTION_FAILED, True)


@pytest.mark.parametrize(
    ("error_info", "words"),
    [
        ({"code": "X", "message": "The text is in\nGerman.\x00"}, "The text is in German."),
        ({"code": "RESOURCE_NOT_FOUND"}, "The text of this essay could not be found."),
        ({}, "The checker could not work on this text; try again."),
        ({"code": 7, "message": ["odd"]}, "The checker could not work on this text; try again."),
        ({"message": "x" * 600}, "x" * 499 + "…"),
    ],
)
def test_a_failure_is_told_in_plain_words(error_info: dict[str, object], words: str) -> None:
    """The checker's own words on one line, else what its code means."""
    story = Story(essay_ids=["a"])

    view = seen_after(
        story.registered(), story.content("a"), story.failed("a", error_info=error_info)
    )

    assert [words] == [essay.error for essay in view.essays]


def test_the_latest_extension_is_the_deadline() -> None:
    """A deadline may be moved more than once."""
    story = Story()
    messages = [
        story.registered(),
        story.extended(START + timedelta(hours=2)),
        story.extended(START + timedelta(hours=1)),
    ]

    assert seen_after(*reversed(messages)).deadline == "2026-01-12T09:00:00.000000Z"


def test_what_is_missing_at_a_deadline_is_told_until_it_comes_or_there_is_more_time() -> None:
    """In the batch's words and in those of each essay that has no text."""
    story = Story()
    begun = [story.registered(), story.content("a")]
    timeout = story.timed_out(["b"])
    extended = story.extended(START + timedelta(hours=2))
    proceeded = story.proceeded()

    overdue = seen_after(*begun, timeout)
    given_time = seen_after(*begun, timeout, extended)
    going_on = seen_after(*begun, timeout, proceeded)

    waiting = "Waiting for texts: 1 of 2 are here"
    assert [view.status_text for view in (overdue, given_time, going_on)] == [
        f"{waiting}; the deadline has passed",
        waiting,
        f"{waiting}; about to go on with these",
    ]
    assert [view.essays[1].status_text for view in (overdue, given_time)] == [
        "Waiting for the text; the deadline has passed",
        "Waiting for the text",
    ]
    assert overdue.missing_essay_ids == ["b"]
    assert {view.is_finished for view in (overdue, given_time, going_on)} == {False}


def test_a_senseless_number_of_corrections_is_refused() -> None:
    """A number that the store could not hold is the sender's fault, not ours."""
    story = Story(essay_ids=["a"])
    messages: list[Message] = [story.checked("a", corrections=2**80), story.registered()]

    with pytest.raises(MalformedMessage, match="corrections"):
        seen_after(*messages)
