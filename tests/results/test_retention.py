"""Single events are forgotten in time; how a batch stands is not."""

from datetime import timedelta

from huleedu.core.clock import to_text
from huleedu.results import purge_progress
from huleedu.results.progress import last_id
from huleedu.store.purging import SLICE_ROWS
from tests.results.projecting import MOMENT, Projection
from tests.results.story import Story

YEAR = timedelta(days=365)


def test_old_events_go_and_the_batch_stays() -> None:
    """A year on, nothing but the single events is gone."""
    projection = Projection().hear(Story(essay_ids=["a", "b"]).without_failures())
    projection.connection.execute(
        "INSERT INTO progress_event (batch_id, event_type, attempt, essay_id, discriminator,"
        " event_id, heard_at, data) VALUES ('later', 'e', 0, '', '', 'id', ?, '{}')",
        (to_text(MOMENT + 2 * YEAR),),
    )
    before = projection.view()

    kept = purge_progress(projection.connection, MOMENT + YEAR - timedelta(seconds=1), YEAR)
    gone = purge_progress(projection.connection, MOMENT + YEAR + timedelta(seconds=1), YEAR)

    assert (kept, gone > 0) == (0, True)
    assert last_id(projection.connection, "batch-1") == 0
    assert projection.view() == before
    projection.close()


def test_events_go_in_slices_oldest_first() -> None:
    """At most a thousand rows are deleted at once, and no young one."""
    projection = Projection()
    for number in range(SLICE_ROWS + 20):
        age = timedelta(days=400 if number < SLICE_ROWS + 10 else 1)
        projection.connection.execute(
            "INSERT INTO progress_event (batch_id, event_type, attempt, essay_id, discriminator,"
            " event_id, heard_at, data) VALUES ('b', 'e', 0, ?, '', 'id', ?, '{}')",
            (str(number), to_text(MOMENT - age)),
        )

    purged = [purge_progress(projection.connection, MOMENT, YEAR) for _ in range(3)]

    assert purged == [SLICE_ROWS, 10, 0]
    projection.close()
