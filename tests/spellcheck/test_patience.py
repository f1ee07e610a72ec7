"""How long a request that cannot be worked on is tried again."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.message import Header, Message
from huleedu.spellcheck.patience import is_over, patience_seconds
from huleedu.transport.failures import longest_pause_seconds, pause_seconds


def request(timeout: str | None) -> Message:
    headers = {} if timeout is None else {str(Header.PHASE_TIMEOUT_SECONDS): timeout}
    return Message("t", b"k", b"v", headers)


@given(st.floats(1.0, 100_000.0), st.integers(0, 2**32))
def test_a_request_is_given_up_well_before_its_phase(timeout: float, seed: int) -> None:
    """Whatever the pauses, it is tried for more than half of the time that there is for it, or
    until the next pause would be too long, and given up at two thirds at the latest."""
    asked, random, waited, attempt = request(f"{timeout:g}"), Random(seed), 0.0, 1
    while not is_over(asked, waited, longest_pause_seconds(attempt)):
        waited += pause_seconds(attempt, random)
        attempt += 1

    assert waited <= timeout * 0.67
    assert waited + longest_pause_seconds(attempt) > timeout / 2


@pytest.mark.parametrize("text", [None, "", "soon", "-1", "0", "nan", "inf"])
def test_a_request_that_does_not_say_has_ten_minutes(text: str | None) -> None:
    """Two thirds of the quarter of an hour that ELS gives a phase where nobody set it."""
    assert patience_seconds(request(text)) == 600.0
