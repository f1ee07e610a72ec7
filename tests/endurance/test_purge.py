"""A small table in every test run; ``make endurance`` forgets a million rows of each kind."""

from pathlib import Path

import pytest

from tests.endurance.purge import check_purge


@pytest.mark.slow
def test_old_rows_are_forgotten_in_slices_beside_live_work(tmp_path: Path) -> None:
    """Every old row goes, a thousand at most at once, and what is live is handled meanwhile."""
    assert check_purge(tmp_path, rows=5_000, messages=100).faults == []
