"""The projection ends in the same state whatever the order and the repetition of the events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.enums import BatchStatus, EssayStatus, RefusalReason
from huleedu.core.message import Message
from huleedu.results.model import BatchView
from huleedu.results.views import effects
from tests.results.projecting import Projection
from tests.results.story import START, Story

TABLES = ("batch", "essay", "essay_text", "essay_result")


def a_batch_with_everything() -> list[Message]:
    """Three essays: one text replaced, one refused, one failing and retried with success."""
    story = Story(essay_ids=["a", "b", "c"])
    return [
        story.registered(),
        story.content("a", "text-old", student_name="Old", file_name="old.txt"),
        story.content("a", student_name="Åsa", file_name="åsa.txt"),
        story.content("b", file_name="b.txt"),
        story.content("x", "text-x"),
        story.refused("x", "text-x", RefusalReason.NOT_REGISTERED),
        story.timed_out(["c"]),
        story.extended(START.replace(hour=20)),
        story.timed_out(["c"]),
        story.proceeded(),
        story.ready(["a", "b"]),
        story.content("c", "text-late", file_name="late.txt"),
        story.refused("c", "text-late", RefusalReason.BATCH_READY),
        story.requested("a"),
        story.requested("b"),
        story.checked("a"),
        story.failed("b", message="the checker stopped"),
        story.concluded(failed=["b", "c"]),
        story.requested("b", attempt=2),
        story.checked("b", attempt=2, corrections=5),
        story.concluded(failed=["c"], attempt=2),
    ]


def a_cancelled_batch() -> list[Message]:
    """One essay is done before the cancellation, one after it, and a text comes too late."""
    story = Story(essay_ids=["a", "b"])
    return [
        *story.without_failures()[:6],
        story.checked("a"),
        story.cancelled("the wrong class", "Eva"),
        story.checked("b"),
        story.content("b", "text-late"),
        story.refused("b", "text-late", RefusalReason.BATCH_CANCELLED),
    ]


def a_teacher_who_changes_her_mind() -> list[Message]:
    """The deadline is moved there and back, passes, and the batch is stopped after going on."""
    story = Story(essay_ids=["a", "b", "c"])
    return [
        story.registered(),
        story.content("a", file_name="a.txt"),
        story.content("b", file_name="b.txt"),
        story.extended(START.replace(hour=20)),
        story.extended(START.replace(hour=22)),
        story.extended(START.replace(hour=20)),
        story.timed_out(["c"]),
        story.proceeded(),
        story.ready(["a", "b"]),
        story.content("c", "text-late", file_name="late.txt"),
        story.refused("c", "text-late", RefusalReason.BATCH_CLOSED),
        story.requested("a"),
        story.requested("b"),
        story.checked("a"),
        story.cancelled(),
        story.checked("b"),
    ]


def a_batch_that_is_tried_three_times() -> list[Message]:
    """The first answers of the older attempts come last; one essay stays without success."""
    story = Story(essay_ids=["a", "b"])
    told = [story.registered(), story.content("a"), story.content("b"), story.ready()]
    for attempt in (1, 2, 3):
        told += [story.requested(one, attempt) for one in ("a", "b")]
        told += [story.failed("b", attempt, message=f"attempt {attempt}")]
        told += [story.checked("a", 3) if attempt == 3 else story.failed("a", attempt)]
        told += [story.concluded(["b"] if attempt == 3 else ["a", "b"], attempt)]
    return told


def a_foreign_checker() -> list[Message]:
    """Its results name no attempt."""
    story = Story(essay_ids=["a"])
    return [
        story.registered(),
        story.content("a"),
        story.ready(),
        story.requested("a"),
        story.failed("a", attempt=None, message="no luck"),
        story.concluded(failed=["a"]),
        story.requested("a", attempt=2),
        story.checked("a", attempt=None, corrections=7),
        story.concluded(attempt=2),
    ]


def a_sender_that_repeats_itself() -> list[Message]:
    """One text is announced twice with more known of it; a foreign checker answers twice."""
    story = Story(essay_ids=["a"])
    return [
        story.registered(),
        under_another_id(story.content("a", student_name="Asa")),
        story.content("a", student_name="Åsa"),
        story.ready(),
        under_another_id(story.checked("a", attempt=None, corrections=1)),
        story.checked("a", attempt=None, corrections=2),
    ]


def under_another_id(message: Message) -> Message:
    another = {**message.headers, "event-id": "00000000-0000-4000-8000-000000000000"}
    return Message(message.topic, message.key, message.value, another)


STORIES = {
    "everything": a_batch_with_everything(),
    "cancelled": a_cancelled_batch(),
    "changed": a_teacher_who_changes_her_mind(),
    "retried": a_batch_that_is_tried_three_times(),
    "foreign": a_foreign_checker(),
    "repeating": a_sender_that_repeats_itself(),
}


@dataclass(frozen=True)
class Seen:
    """Every fact, what they come to, and the effects that were noted."""

    facts: Mapping[str, Sequence[object]]
    view: BatchView
    effects: Sequence[tuple[object, ...]]


def seen_after(fetches: Sequence[Sequence[Message]]) -> Seen:
    projection = Projection()
    for fetch in fetches:
        projection.hear(fetch)
    facts = {
        table: sorted(projection.connection.execute(f"SELECT * FROM {table}"), key=repr)
        for table in TABLES
    }
    # How often an effect was claimed by a repeat under another id is not compared.
    noted = [effect[:4] for effect in effects(projection.connection)]
    seen = Seen(facts, projection.view(), noted)
    projection.close()
    return seen


IN_ORDER = {name: seen_after([[one] for one in story]) for name, story in STORIES.items()}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_order_and_repetition_ends_in_the_same_state(data: st.DataObject) -> None:
    """A fold of any permutation, with repeats and in fetches of any size, is the fold in order."""
    name = data.draw(st.sampled_from(sorted(STORIES)))
    story = STORIES[name]
    repeats = data.draw(st.lists(st.sampled_from(story), max_size=10))
    told = data.draw(st.permutations([*story, *repeats]))
    cuts = data.draw(st.lists(st.integers(0, len(told)), max_size=4).map(sorted))
    edges = [0, *cuts, len(told)]
    fetches = [told[low:high] for low, high in pairwise(edges)]

    assert IN_ORDER[name] == seen_after(fetches)


def test_the_stories_come_to_what_they_tell() -> None:
    """The states that every order must reach are the right ones."""
    everything, cancelled, foreign, repeating = (
        IN_ORDER[name].view for name in ("everything", "cancelled", "foreign", "repeating")
    )

    assert [(view.status, view.is_finished) for view in (everything, cancelled, foreign)] == [
        (BatchStatus.COMPLETED_WITH_FAILURES, True),
        (BatchStatus.CANCELLED, True),
        (BatchStatus.COMPLETED_SUCCESSFULLY, True),
    ]
    assert [
        (e.essay_id, e.status, e.student_name, e.file_name, e.corrections_made)
        for e in everything.essays
    ] == [
        ("a", EssayStatus.SPELLCHECKED_SUCCESS, "Åsa", "åsa.txt", 3),
        ("b", EssayStatus.SPELLCHECKED_SUCCESS, None, "b.txt", 5),
        ("c", EssayStatus.CONTENT_INGESTION_FAILED, None, None, None),
    ]
    assert [(text.essay_id, text.file_name) for text in everything.refused_texts] == [
        ("c", "late.txt"),
        ("x", None),
    ]
    assert [(e.status, e.error) for e in cancelled.essays] == [
        (EssayStatus.SPELLCHECKED_SUCCESS, None),
        (EssayStatus.ESSAY_CRITICAL_FAILURE, "The batch was cancelled: the wrong class"),
    ]
    assert [(e.status, e.attempt, e.corrections_made) for e in foreign.essays] == [
        (EssayStatus.SPELLCHECKED_SUCCESS, 2, 7)
    ]
    assert [(e.student_name, e.corrections_made) for e in repeating.essays] == [("Åsa", 2)]


def test_the_stories_of_actions_come_to_what_they_tell() -> None:
    """What was wished, what is missing, and what each attempt came to."""
    cancelled, changed, retried = (
        IN_ORDER[name].view for name in ("cancelled", "changed", "retried")
    )

    assert (cancelled.cancelled_by, cancelled.cancel_reason) == ("Eva", "the wrong class")
    assert cancelled.status_text == "Cancelled: the wrong class"
    assert (changed.status, changed.status_text) == (BatchStatus.CANCELLED, "Cancelled")
    assert changed.deadline == "2026-01-12T20:00:00.000000Z"
    assert changed.missing_essay_ids == ["c"]
    assert None not in (changed.timed_out_at, changed.proceeded_at, changed.cancelled_at)
    assert [e.status for e in changed.essays] == [
        EssayStatus.SPELLCHECKED_SUCCESS,
        EssayStatus.ESSAY_CRITICAL_FAILURE,
        EssayStatus.CONTENT_INGESTION_FAILED,
    ]
    assert (retried.status, retried.attempt) == (BatchStatus.COMPLETED_WITH_FAILURES, 3)
    assert [(e.attempt, e.error) for e in retried.essays] == [(3, None), (3, "attempt 3")]


@pytest.mark.parametrize("name", ["everything", "changed", "retried"])
def test_every_effect_is_claimed_by_one_event(name: str) -> None:
    """Hearing the same events again adds no effect and claims none twice."""
    projection = Projection()
    projection.hear(STORIES[name]).hear(STORIES[name])

    seen = effects(projection.connection)
    projection.close()

    assert len(STORIES[name]) == len(seen)
    assert {1} == {effect.times for effect in seen}


def test_two_events_that_claim_one_effect_are_seen() -> None:
    """When a sender says the same thing under two ids, the effect stays one and is counted."""
    story = Story()
    once = story.requested("a")
    again = under_another_id(once)
    projection = Projection().hear([once, again, again])

    seen = effects(projection.connection)
    projection.close()

    # The fault is counted each time that the other id is heard; a consumer drops repeats of an id.
    assert [effect[:4] for effect in seen] == [("batch-1", "essay.spellcheck.requested", 1, "a")]
    assert seen[0].times > 1
