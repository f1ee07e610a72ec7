"""Messages handled out of order: what may be committed, and what comes again after a restart."""

from hypothesis import given
from hypothesis import strategies as st

from huleedu.transport.kafka.committed import Committed
from huleedu.transport.kafka.settled_offsets import TEXT_BYTES_MAX, SettledOffsets
from huleedu.transport.kafka.window import Window

logs = st.sets(st.integers(0, 60), max_size=40).map(sorted)
"""Offsets that hold a message; the others hold marks of transactions."""
METADATA_BYTES_MAX = 4_096
"""What a broker takes beside an offset by default."""


@given(logs, st.data())
def test_nothing_is_committed_past_a_message_that_is_not_handled(
    log: list[int], data: st.DataObject
) -> None:
    """In whatever order messages are read and handled, the offset committed is never past one that
    is not handled, and no such message is noted as handled."""
    window = Window(SettledOffsets(0))
    unread, under_way, handled = list(log), list[int](), set[int]()
    while unread or under_way:
        if unread and (not under_way or data.draw(st.booleans())):
            under_way.append(unread.pop(0))
            assert window.begin(under_way[-1])
        else:
            done = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            window.handled(done)
            handled.add(done)
        settled = window.settled()

        assert len(window) == len(under_way)
        assert {offset for offset in log if offset in settled} == handled
        assert settled.start == min(under_way, default=_read_to(log, unread))


@given(logs, st.lists(st.tuples(st.integers(0, 40), st.randoms()), max_size=4))
def test_a_restart_brings_what_was_not_handled_and_nothing_else(
    log: list[int], lives: list[tuple[int, object]]
) -> None:
    """Whatever was handled when it was committed and the process ended does not come again, though
    older messages wait; whatever was not, does.  So again after each further restart."""
    committed = Committed(SettledOffsets(0), "topic")
    handled = set[int]()
    for count, random in lives:
        window = Window(committed.handled)
        came = [o for o in log if o >= committed.handled.start and window.begin(o)]
        assert came == [o for o in log if o not in handled]
        random.shuffle(came)  # type: ignore[attr-defined]
        for offset in came[:count]:
            window.handled(offset)
            handled.add(offset)
        kept = Committed(window.settled(), "topic")
        committed = Committed.from_text(kept.handled.start, kept.as_text())

        assert committed == kept


def test_what_was_handled_before_does_not_begin_again() -> None:
    """Behind one that waits lies one that is done; nothing is noted of offsets that are none."""
    window = Window(SettledOffsets(0, ((1, 2),)))

    assert [window.begin(offset) for offset in (0, 1, 2)] == [True, False, True]
    assert len(window) == 2
    assert window.settled() == SettledOffsets(0, ((1, 2),))


@given(st.sets(st.integers(0, 10**7), min_size=1, max_size=3_000))
def test_what_is_kept_beside_an_offset_fits_there(waiting: set[int]) -> None:
    """However many messages wait, and however far apart, the broker takes the text; what does not
    fit comes again, and nothing is taken for handled that is not."""
    window = Window(SettledOffsets(0))
    window.begin(0)
    for offset in sorted(waiting - {0}):
        window.begin(offset)
    whole = Committed(window.settled(), "x" * 22)
    kept = Committed.from_text(whole.handled.start, whole.as_text())

    assert len(whole.as_text()) < METADATA_BYTES_MAX
    assert kept.handled.start == whole.handled.start
    assert kept.handled.ranges == whole.handled.ranges[: len(kept.handled.ranges)]
    assert whole.fits == (kept == whole)


def test_far_more_than_can_be_kept_is_cut() -> None:
    """A text for thousands of scattered messages would be too long: the farthest come again."""
    squares = [(n * n, n * n + n % 7 + 1) for n in range(10, 8_000)]
    whole = Committed(SettledOffsets(0).added(squares), "topic")
    kept = Committed.from_text(0, whole.as_text())

    assert not whole.fits
    assert 0 < len(kept.handled.ranges) < len(whole.handled.ranges)
    assert len(whole.as_text()) <= TEXT_BYTES_MAX + 40


def test_what_others_wrote_beside_an_offset_tells_nothing() -> None:
    """An older program wrote nothing, another tool what it liked: the offset counts."""
    for text in ("", "somebody", "huleedu=topic;1:~~", "huleedu=topic;2:abc", "huleedu="):
        assert Committed.from_text(7, text).position.next_offset == 7
        assert Committed.from_text(7, text).handled == SettledOffsets(7)


def _read_to(log: list[int], unread: list[int]) -> int:
    read = log[: len(log) - len(unread)]
    return read[-1] + 1 if read else 0
