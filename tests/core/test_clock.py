"""Moments as text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.clock import SystemClock, from_text, to_text

offsets = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the bounds go without, the values do not
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=offsets,
)


@given(moments)
def test_a_moment_survives_as_text(moment: datetime) -> None:
    """Read back, a moment is the same moment, in UTC."""
    back = from_text(to_text(moment))

    assert (back, back.tzinfo) == (moment, UTC)


@given(moments, moments)
def test_texts_sort_as_their_moments_do(one: datetime, other: datetime) -> None:
    """SQL that compares the texts compares the moments."""
    assert (to_text(one) < to_text(other)) == (one < other)
    assert (to_text(one) == to_text(other)) == (one == other)


def test_the_text_is_iso_8601_in_utc() -> None:
    """Six digits of a second, always, and Z."""
    summer = timezone(timedelta(hours=2))

    assert to_text(datetime(2026, 7, 1, 10, 0, tzinfo=summer)) == "2026-07-01T08:00:00.000000Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-12T08:00:00Z",
        "2026-01-12T08:00:00.000000",
        "2026-01-12T08:00:00.000000+00:00",
        "2026-01-12 08:00:00.000000Z",
        "2026-1-12T8:0:0.0Z",
        "2026-02-30T08:00:00.000000Z",
        "20260112T080000.000000Z",
        "٢٠٢٦-01-12T08:00:00.000000Z",
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """What another program wrote in another form is not guessed at."""
    with pytest.raises(ValueError, match=r".+"):
        from_text(text)


def test_a_time_without_offset_is_refused() -> None:
    """A time that may be anyone's is not taken for UTC."""
    with pytest.raises(ValueError, match="no offset"):
        to_text(datetime(2026, 1, 12))  # noqa: DTZ001 - that is the point


@pytest.mark.anyio
async def test_the_system_clock_is_in_utc_and_goes_on() -> None:
    """The wall clock says UTC; sleeping lets the monotonic one advance at least so far."""
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.01)

    assert clock.monotonic() - before >= 0.01
    assert clock.now().tzinfo is UTC
