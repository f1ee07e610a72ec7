"""A smaller round of the processes on one store; ``make endurance`` makes the whole one."""

from pathlib import Path

import pytest

from tests.endurance.one_store import check_one_store


@pytest.mark.slow
def test_several_processes_on_one_store_never_see_it_locked(tmp_path: Path) -> None:
    """Whoever writes waits for its turn; what all of them claim has one effect."""
    assert check_one_store(tmp_path, events=300).faults == []
