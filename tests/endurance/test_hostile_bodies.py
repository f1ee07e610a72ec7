"""Bodies that are too much are refused nearly for free."""

from pathlib import Path

import pytest

from tests.endurance.hostile_bodies import HOSTILE, check_bodies


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_body_that_is_too_much_costs_no_memory(tmp_path: Path) -> None:
    """Announced, in chunks, in parts or as an address: refused, and the program stays small."""
    # Slow callers wait for patience to end; what may be sent costs as much as is measured.
    quick = [name for name in HOSTILE if "slow" not in name and "may be" not in name]

    assert check_bodies(tmp_path, quick).faults == []
