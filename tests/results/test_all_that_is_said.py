"""What ELS publishes in any story is what results shows of it: nothing less, nothing twice."""

from collections.abc import Sequence
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.message import Message
from tests.els.test_lives import Both, Step, lives
from tests.els.test_store_agrees import els_tables
from tests.results.projecting import Projection


def said_in(fetches: Sequence[Sequence[Step]]) -> list[Message]:
    """Return what ELS publishes, in order, while it hears this and time passes."""
    with els_tables() as connection:
        both = Both(connection)
        for fetch in fetches:
            both.hear(fetch)
    return both.store.messages


def shown(messages: Sequence[Message]) -> list[str]:
    """Return the ids of the events that the stream of results shows, in order."""
    projection = Projection().hear(messages)
    with closing(projection.connection):
        rows = projection.connection.execute(
            "SELECT event_id, other_events FROM progress_event ORDER BY id"
        ).fetchall()
    assert [claims for _, claims in rows] == [0] * len(rows)
    return [event_id for event_id, _ in rows]


@settings(max_examples=80)
@given(lives, st.integers(1, 3))
def test_each_event_that_is_published_is_one_row_of_the_stream(
    fetches: list[list[Step]], times: int
) -> None:
    """However often it comes."""
    messages = said_in(fetches)

    # The same refusal of the same text is one event, however often it follows.
    assert shown(messages * times) == list(dict.fromkeys(one.event_id for one in messages))


@given(st.lists(st.integers(-50, 0), min_size=2, max_size=4, unique=True))
def test_deadlines_that_had_passed_before_they_were_heard_of_are_told_apart(
    minutes: list[int],
) -> None:
    """Each that is told is shown, though no time was left for any of them."""
    fetches: list[list[Step]] = [[("register", "b1")]]
    for deadline in sorted(minutes):
        fetches += [[("extend", "b1", deadline)], [("tick", 1)]]

    messages = said_in(fetches)

    assert len(messages) == len(minutes)
    assert shown(messages) == [message.event_id for message in messages]
