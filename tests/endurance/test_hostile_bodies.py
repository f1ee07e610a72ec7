"""Bodies that are too much are refused nearly for free."""

from pathlib import Path

import pytest

from tests.endurance.hostile_bodies import HOSTILE, check_bodies


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_body_that_is_too_much_costs_no_memory(tmp_path: Path) -> None:
    """Announced, in chunks or in parts: refused, and the program stays small."""
    quick = [name for name in HOSTILE if "slow" not in name]  # those wait for patience to end

    assert check_bodies(tmp_path, quick).faults == []
