"""One of the background tasks in every test run; ``make endurance`` has each of them fail."""

import random
from pathlib import Path

import pytest

from tests.endurance.dead_tasks import have_die


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_dead_task_never_hides(tmp_path: Path) -> None:
    """Whichever task fails: the program says that it is not ready, and ends with an error."""
    death = have_die(tmp_path, random.SystemRandom().choice)

    assert death.faults == []
    assert {f"background task {name}" for name in ("transport", "housekeeping")} < set(death.others)
