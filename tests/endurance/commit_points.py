"""Every crash point is safe: killed at each, the program ends where it would have ended anyway.

A class of two essays (plain text and a Word document) goes through ``serve all-in-one`` once
undisturbed, which tells the points there are: before and after each delivery to a handler, each
commit, each hand-over to the bus, each mark in an outbox.  Then, for each of them, a class goes
through and the process is killed there and started again.
"""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.crash.observed import observe
from tests.crash.submission import EXAMPLES, Submission
from tests.endurance.controlled import ControlledProcess
from tests.endurance.points import Point, recorded
from tests.endurance.report import Finding
from tests.endurance.state import State, differences, state_of

ESSAYS = 2
ATTEMPTS_MAX = 3  # where a run came by in another order and missed the point
UNDISTURBED = 3
QUIET_SECONDS_MAX = 60.0


class CommitPoints:
    """A server in ``directory`` that dies at points and is started again."""

    def __init__(self, directory: Path, planted: str | None = None) -> None:
        self._directory = directory
        self._folder = directory / "class"
        self._folder.mkdir(parents=True)
        for essay in sorted((EXAMPLES / "eng5").iterdir())[:ESSAYS]:
            shutil.copy(essay, self._folder)
        self._server = ControlledProcess(directory, PLANTED=planted or "")
        self._expected: State = State()
        self.reached: list[Point] = []
        self.faults: list[str] = []

    def enumerate(self) -> list[Point]:
        """Start, and return the points of an undisturbed class, in their order."""
        self._server.start()
        observe(self._server.data_dir)
        seen: list[list[Point]] = []
        for run in range(UNDISTURBED):
            record = self._directory / f"points{run}.tsv"
            self._server.record(record)
            submission = self._submission()
            submission.run()
            self._expected = self._settled(submission, None)
            seen.append(recorded(record))
        # The first class finds lanes unmade; what the later ones share comes always.
        in_all = set.intersection(*(set(points) for points in seen[1:]))
        return [point for point in seen[-1] if point in in_all]

    def kill_at(self, point: Point) -> None:
        """Send a class, have the process die at the point, start it again; note what differs."""
        for _ in range(ATTEMPTS_MAX):
            submission = self._submission()
            self._server.kill_at(point)
            client = threading.Thread(target=submission.run)
            client.start()
            while self._server.is_running and client.is_alive():
                time.sleep(0.005)
            died = not self._server.is_running or self._dies_soon()
            if died:
                self._server.wait()
                self._server.start()
            client.join()
            found = self._settled(submission, self._expected)
            if submission.status != "completed_successfully":
                self.faults.append(f"{point}: {submission.status} {submission.error or ''}")
            self.faults += [f"{point}: {one}" for one in differences(self._expected, found)]
            if died:
                self.reached.append(point)
                return
        self.faults.append(f"{point}: not reached in {ATTEMPTS_MAX} classes")

    def stop(self) -> None:
        """End the server; that it ends in order is part of the promise."""
        code = self._server.stop()
        if code:
            self.faults.append(f"the last process ended with {code}")

    def abandon(self) -> None:
        """Kill what is left."""
        if self._server.is_running:
            self._server.kill()

    def _dies_soon(self) -> bool:
        # The last points come after the client has seen the end of its class.
        deadline = time.monotonic() + 3
        while self._server.is_running and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self._server.is_running

    def _submission(self) -> Submission:
        key = f"point-{time.time_ns()}"
        return Submission(lambda _module: self._server.url, "ENG5", self._folder, key)

    def _settled(self, submission: Submission, expected: State | None) -> State:
        """Return the state of its batch once it is the expected one, or no longer changes."""
        assert submission.batch_id is not None, submission.error
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        before, quiet_since = State(), time.monotonic()
        while time.monotonic() < deadline:
            state = state_of(self._server.data_dir, submission.batch_id)
            if state != before:
                before, quiet_since = state, time.monotonic()
            if expected is None and time.monotonic() - quiet_since > 2:
                break
            if state == expected:
                break
            time.sleep(0.05)
        return before


def check_points(
    directory: Path,
    choose: Callable[[list[Point]], list[Point]] = lambda every: every,
    planted: str | None = None,
) -> Finding:
    """Kill at the points that are chosen of all that there are.

    ``planted``: a bug that the program has (see ``tests.crash.planted``).
    """
    runs = CommitPoints(directory, planted)
    try:
        every = runs.enumerate()
        points = choose(every)
        for number, point in enumerate(points, 1):
            runs.kill_at(point)
            print(f"point {number}/{len(points)}: {point}", flush=True)  # noqa: T201
        runs.stop()
    finally:
        runs.abandon()
    seen = f"killed at {len(runs.reached)} of {len(points)} points ({len(every)} in all)"
    return Finding("every commit point", seen, runs.faults)
