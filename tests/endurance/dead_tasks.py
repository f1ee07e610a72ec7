"""A dead background task never hides: the program says that it is not ready, and ends.

The tasks are those that a running program has, listed by itself, so that none is forgotten.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.endurance.controlled import ControlledProcess
from tests.endurance.report import Finding
from tests.support.classes import register_and_upload

READY_SECONDS_MAX = 5.0  # promised within 1 s; the rest is for a machine that has other work
END_SECONDS_MAX = 15.0  # promised within 5 s


@dataclass(frozen=True)
class Death:
    """One task that was made to fail, and what was seen of it from outside."""

    task: str
    others: Sequence[str]
    """The names of all tasks that were alive."""
    seconds_ready: float
    seconds_alive: float
    code: int

    @property
    def faults(self) -> Sequence[str]:
        faults = []
        if self.seconds_ready > READY_SECONDS_MAX:
            faults.append(f"{self.task}: ready for {self.seconds_ready:.1f} s more")
        if self.seconds_alive > END_SECONDS_MAX:
            faults.append(f"{self.task}: ended after {self.seconds_alive:.1f} s")
        if self.code <= 0:
            faults.append(f"{self.task}: exit code {self.code}")
        return faults


def have_die(directory: Path, choose: Callable[[Sequence[str]], str]) -> Death:
    """Have the chosen one of the tasks of a program fail."""
    process = ControlledProcess(directory)
    process.start()
    try:
        register_and_upload(process.url)  # lanes of the relay begin with the first message
        assert httpx.get(f"{process.url}/readyz", timeout=30).status_code == 200
        names = process.tasks()
        task = choose(names)
        died = time.monotonic()
        process.doom(task)
        told = _seconds_until_not_ready(process, died)
        code = process.wait(60)
        return Death(task, names, told, time.monotonic() - died, code)
    finally:
        if process.is_running:
            process.kill()


def _seconds_until_not_ready(process: ControlledProcess, died: float) -> float:
    """Return when ``/readyz`` stopped answering 200: it answers 503, or nobody does any more."""
    while time.monotonic() < died + 60:
        try:
            if httpx.get(f"{process.url}/readyz", timeout=5).status_code != 200:
                break
        except httpx.TransportError:
            break
        time.sleep(0.02)
    return time.monotonic() - died


def check_tasks(directory: Path) -> Finding:
    """Have each of the tasks fail, in a program of its own."""
    deaths = [have_die(directory / "0", lambda names: names[0])]
    for number, name in enumerate(deaths[0].others[1:], 1):
        deaths.append(have_die(directory / str(number), lambda _, name=name: name))  # type: ignore[misc]
    slowest = max(death.seconds_ready for death in deaths)
    last = max(death.seconds_alive for death in deaths)
    seen = f"{len(deaths)} tasks: not ready after {slowest:.2f} s, ended after {last:.1f} s at most"
    return Finding("dead background task", seen, [f for death in deaths for f in death.faults])
