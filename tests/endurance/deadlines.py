"""Deadlines pass exactly once, whatever happens to the process or to its clock over them.

Batches are registered and get no text.  The process is killed, stopped, paused or given another
wall clock over their deadlines; then each of them must have been told once, and been heard once.
"""

import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx

from huleedu.core.enums import ProcessingEvent
from huleedu.core.topics import topic_name
from tests.endurance.controlled import ControlledProcess
from tests.endurance.report import Finding
from tests.support.classes import registration

TIMEOUT_SECONDS = 1.0
BATCHES = 3  # a disturbance
HOUR = 3_600.0
TRIES_MAX = 20
FIRE_SECONDS_MAX = 60.0  # a poll is due each second; the rest is for a machine with other work
TIMED_OUT = ProcessingEvent.BATCH_READINESS_TIMEOUT


class Deadlines:
    """A program whose batches have their deadline a second after ELS heard of them."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._chance = random.Random(seed)
        self._server = ControlledProcess(
            directory, ESSAY_LIFECYCLE_SERVICE_READINESS_TIMEOUT_SECONDS=str(TIMEOUT_SECONDS)
        )
        self._batches: list[str] = []
        self.latest = 0.0
        """Seconds from the end of a disturbance until its last deadline had been told."""
        self.faults: list[str] = []

    def disturb(self, disturbances: Sequence[Callable[["Deadlines"], None]]) -> int:
        """Do these, each over deadlines of its own; return how many deadlines there were."""
        self._server.start()
        try:
            for disturbance in disturbances:
                self._register()
                disturbance(self)
                self._wait_until_told(disturbance.__name__)
            # One that is told twice may be told later: a restart, and some polls more.
            self.restart(signal.SIGTERM)
            time.sleep(2 * TIMEOUT_SECONDS)
            self._server.stop()
        finally:
            if self._server.is_running:
                self._server.kill()
        self._judge()
        return len(self._batches)

    def restart(self, how: signal.Signals) -> None:
        self._server.send(how)
        self._server.wait()
        self._server.start()

    def restart_over(self) -> None:
        """Be away over the deadline, after a kill or a stop in order."""
        time.sleep(self._chance.uniform(0, TIMEOUT_SECONDS))
        self._server.send(self._chance.choice([signal.SIGKILL, signal.SIGTERM]))
        self._server.wait()
        time.sleep(self._chance.uniform(0, TIMEOUT_SECONDS))
        self._server.start()

    def pause_over(self) -> None:
        """Stand still over the deadline."""
        self._server.send(signal.SIGSTOP)
        time.sleep(1.5 * TIMEOUT_SECONDS)
        self._server.send(signal.SIGCONT)

    def clock_ahead(self) -> None:
        """Go an hour forth and, once the deadlines have passed, back again."""
        self._server.set_clock(HOUR)
        self._wait_until_told("clock_ahead")
        self._server.set_clock(0)

    def clock_behind(self) -> None:
        """Go an hour back before the deadline, stay there for longer than it, and return."""
        self._server.set_clock(-HOUR)
        time.sleep(1.5 * TIMEOUT_SECONDS)
        self._server.set_clock(0)

    def _register(self) -> None:
        """Register some batches and return while a deadline of theirs is ahead."""
        for _ in range(TRIES_MAX):
            batches = {self._register_one() for _ in range(BATCHES)}
            if not self._wait_until(partial(self._are_known, batches)):
                self.faults.append("ELS did not hear of a batch")
            if not batches <= set(self._told()):
                return
            # The machine had other work for so long that they passed undisturbed.
        self.faults.append("no deadline was to be disturbed")

    def _register_one(self) -> str:
        with httpx.Client(base_url=self._server.url, timeout=60) as client:
            answer = client.post("/v1/batches/register", json=registration(1))
        assert answer.status_code == 202, answer.text
        self._batches.append(answer.json()["batch_id"])
        return self._batches[-1]

    def _wait_until_told(self, disturbance: str) -> None:
        began = time.monotonic()
        if not self._wait_until(lambda: set(self._batches) <= set(self._told())):
            self.faults.append(f"{disturbance}: a deadline did not pass")
        self.latest = max(self.latest, time.monotonic() - began)

    def _wait_until(self, holds: Callable[[], bool]) -> bool:
        until = time.monotonic() + FIRE_SECONDS_MAX
        while not holds():
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def _are_known(self, batches: set[str]) -> bool:
        query = "SELECT batch_id FROM batch WHERE registered_at IS NOT NULL"
        return batches <= set(self._column("els", query))

    def _told(self) -> Counter[str]:
        query = "SELECT CAST(key AS TEXT) FROM outbox WHERE topic = ?"
        return Counter(self._column("els", query, topic_name(TIMED_OUT)))

    def _heard(self) -> Counter[str]:
        query = "SELECT batch_id FROM progress_event WHERE event_type = ? AND other_events = 0"
        return Counter(self._column("results", query, TIMED_OUT.value))

    def _column(self, store: str, query: str, *values: str) -> list[str]:
        path = self._server.data_dir / f"{store}.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return [text for (text,) in db.execute(query, values)]

    def _judge(self) -> None:
        told, heard = self._told(), self._heard()
        for batch_id in self._batches:
            if (told[batch_id], heard[batch_id]) != (1, 1):
                times = f"told {told[batch_id]} times, heard {heard[batch_id]} times"
                self.faults.append(f"{batch_id}: {times}")


def check_deadlines(directory: Path, restarts: int = 20, rounds: int = 3, seed: int = 0) -> Finding:
    """Restart so often over deadlines, and pause and set the clock in so many rounds."""
    runs = Deadlines(directory, seed)
    others = [Deadlines.pause_over, Deadlines.clock_ahead, Deadlines.clock_behind]
    batches = runs.disturb([*[Deadlines.restart_over] * restarts, *others * rounds])
    seen = (
        f"{batches} deadlines over {restarts} restarts and {rounds} pauses, clocks an hour ahead "
        f"and behind; the last told {runs.latest:.1f} s afterwards"
    )
    return Finding("deadlines pass once", seen, runs.faults)
