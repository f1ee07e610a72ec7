"""Which offsets are settled, and how that is kept beside a group's offset."""

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.errors import Conflict, Misconfigured
from huleedu.transport.kafka.settled_offsets import TEXT_BYTES_MAX, SettledOffsets

offsets = st.sets(st.integers(0, 60))


def settled(numbers: set[int], start: int = 0) -> SettledOffsets:
    return SettledOffsets(start).added([(n, n + 1) for n in numbers])


def members(some: SettledOffsets) -> set[int]:
    return {offset for offset in range(100) if offset in some}


@given(offsets, offsets)
def test_what_is_settled_is_what_was_settled(one: set[int], more: set[int]) -> None:
    """Offsets settled in any order and any number of times are settled, and no others; those at
    the beginning need no room."""
    both = settled(one).added([(n, n + 1) for n in more])

    assert members(both) == one | more
    assert both == settled(one | more)
    assert both.start == next(n for n in range(100) if n not in one | more)


@given(st.integers(0, 10**12), offsets)
def test_it_is_read_as_it_was_written(start: int, numbers: set[int]) -> None:
    """Offset and text together say the same as what they were made of."""
    some = settled({start + n for n in numbers}, start)

    assert SettledOffsets.from_text(some.start, some.as_text()) == some


@given(offsets, st.integers(0, 30), st.integers(61, 90))
def test_what_the_log_has_lost_is_settled(numbers: set[int], first: int, end: int) -> None:
    """What retention deleted needs no note; what is noted beyond the end is of another log."""
    some = settled(numbers)

    assert members(some.within(range(first, end))) == set(range(first)) | numbers
    assert settled({*numbers, 61}).within(range(61)) == SettledOffsets(0)


def test_where_all_of_the_log_is_settled_it_stays_so() -> None:
    """The end of the log is the next offset, which nothing has yet."""
    assert SettledOffsets(5).within(range(5)) == SettledOffsets(5)
    assert SettledOffsets(6).within(range(5)) == SettledOffsets(0)


def test_many_alternating_ones_fit_and_too_many_are_refused() -> None:
    """Every second of 20,000 fits beside an offset; what does not is refused, with advice."""
    half = SettledOffsets(0).added([(n, n + 1) for n in range(1, 20_000, 2)])
    chaos = SettledOffsets(0).added([(n * n, n * n + n % 7 + 1) for n in range(10, 8_000)])

    assert len(half.as_text()) <= TEXT_BYTES_MAX
    with pytest.raises(Conflict, match=r"than Kafka remembers .* oldest ones first$"):
        chaos.as_text()


@pytest.mark.parametrize(
    "text",
    [
        "?",
        "1:",
        "1:~~~~",
        "1:" + base64.b85encode(b"no").decode(),
        "1:" + base64.b85encode(zlib.compress(b"1.x")).decode(),
        "1:" + base64.b85encode(zlib.compress(b"1.2.3")).decode(),
        "1:" + base64.b85encode(zlib.compress(b"\xff")).decode(),
        "2:" + base64.b85encode(zlib.compress(b"1.2")).decode(),
    ],
)
def test_what_others_wrote_is_not_guessed_at(text: str) -> None:
    """A text that is not ours stops us: whoever wrote it counts on it."""
    with pytest.raises(Misconfigured, match="not written by this program"):
        SettledOffsets.from_text(0, text)


def test_ranges_that_touch_are_one() -> None:
    """Else the text grows with every message that is settled after its neighbour."""
    assert SettledOffsets(0).added([(2, 3), (3, 5)]) == SettledOffsets(0, ((2, 5),))
