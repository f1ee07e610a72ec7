"""How much memory and how many descriptors a process holds, over time."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

SAMPLE_SECONDS = 1.0
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Sample:
    """One look at a process; ``at`` in seconds, memory in bytes."""

    at: float
    memory: int
    children_memory: int
    descriptors: int


class Vitals:
    """Samples a process once a second until it is stopped, or the process is gone."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples: list[Sample] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            try:
                children = self._process.children(recursive=True)
                self.samples.append(
                    Sample(
                        time.monotonic(),
                        self._process.memory_info().rss,
                        sum(child.memory_info().rss for child in children),
                        self._process.num_fds(),
                    )
                )
            except psutil.NoSuchProcess:
                continue  # a child that has just ended; the process itself is looked for again


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much y grows in an hour of x seconds, by least squares; 0 for one point."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    return 3_600 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
