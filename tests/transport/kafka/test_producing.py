"""How a producer is made anew."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from huleedu.transport.kafka.producing import RETRY_SECONDS_MAX, retry_seconds


@given(st.integers(1, 10_000), st.integers())
def test_a_broker_that_is_back_is_not_kept_waiting(failures: int, seed: int) -> None:
    """However long it was away, the next attempt comes within a second, and never at once."""
    assert 0 < retry_seconds(failures, Random(seed)) <= RETRY_SECONDS_MAX
