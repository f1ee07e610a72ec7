"""A program under test that obeys orders (see ``wired``)."""

import json
import signal
import time
from pathlib import Path

from tests.crash.process import HuleeduProcess
from tests.endurance.points import Point

OBEY_SECONDS_MAX = 60.0


class ControlledProcess(HuleeduProcess):
    """``serve all-in-one`` whose points and tasks are in the hands of a test."""

    def __init__(self, directory: Path, *options: str, **environment: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._control = directory / "control.json"
        self.data_dir = directory / "data"
        self.log = directory / "log.jsonl"
        self.handled = directory / "handled.txt"
        """A line for each message that a group's handler returned from: group and event id."""
        super().__init__(
            self.data_dir,
            self.log,
            *options,
            program="tests.endurance.wired",
            environment={
                "CONTROL": str(self._control),
                "HANDLED": str(self.handled),
                "SPELL_CHECKER_SERVICE_PROCESSES": "1",
                **environment,
            },
        )

    def kill_at(self, point: Point) -> None:
        """Have it die at this point, counted from now on."""
        self._order(kill_at={"name": point.name, "occurrence": point.occurrence})

    def record(self, path: Path) -> None:
        """Have it write down every point that passes from now on."""
        self._order(record=str(path))

    def tasks(self) -> list[str]:
        """Return the names of the tasks that are alive in it."""
        listed = self._control.with_name("tasks.txt")
        self._order(list_tasks=str(listed))
        return listed.read_text().splitlines()

    def doom(self, task: str) -> None:
        """Have a task of this name fail; returns when that is under way."""
        self._order(doom=task)

    def set_clock(self, seconds: float) -> None:
        """Have its wall clock go so many seconds before the machine's; less than 0: behind."""
        self._order(clock=seconds)

    def _order(self, **order: object) -> None:
        new = self._control.with_suffix(".new")
        new.write_text(json.dumps(order))
        new.rename(self._control)
        self.send(signal.SIGUSR1)
        deadline = time.monotonic() + OBEY_SECONDS_MAX
        while self._control.exists():
            assert self.is_running, f"it ended; its log is {self.log}"
            assert time.monotonic() < deadline, "it does not obey"
            time.sleep(0.005)
