"""Two races in every test run; ``make endurance`` makes a hundred."""

from pathlib import Path

import pytest

from tests.endurance.one_key import check_one_key


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_fifty_requests_under_one_key_have_one_effect(tmp_path: Path) -> None:
    """All of them get the same answer; another payload under the key is refused with 422."""
    assert check_one_key(tmp_path, races=2).faults == []
