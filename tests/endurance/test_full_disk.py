"""A file system that is full, where one may be mounted (a limit on file sizes: tests/e2e)."""

from pathlib import Path

import pytest

from tests.endurance.full_disk import check_full_disk


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_full_disk_damages_nothing(tmp_path: Path) -> None:
    """What was accepted is there, what was refused was told so, and the stores are sound."""
    try:
        finding = check_full_disk(tmp_path)
    except PermissionError as fault:
        pytest.skip(f"no file system can be mounted here: {fault}")

    assert finding.faults == []
