"""How much memory and how many descriptors a process holds, over time, and whether it grows."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import psutil

SAMPLE_SECONDS = 1.0
MEBIBYTE = 2**20
POINTS = 60  # through which a line is laid

SLOPE_MEBIBYTES_PER_HOUR_MAX = 1.0
"""Of memory, where it was watched for two hours or longer."""
SCATTER_MEBIBYTES = 2.0
"""By so much memory comes to lie higher or lower by chance: what the allocator holds for later use
depends on what came together.  In a shorter time that looks like a slope."""


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
    """Return by how much y grows in an hour of x seconds; 0 for one point.

    The line is the one of Theil and Sen, the median of the slopes between any two points: up to
    three in ten of them may lie anywhere.  The points are first thinned to medians of ``POINTS``
    slices.
    """
    few = _thinned(points)
    slopes = [(later - y) / (then - x) for (x, y), (then, later) in combinations(few, 2)]
    return 3_600 * median(slopes) if slopes else 0.0


def slope_limit(seconds: float) -> float:
    """Return how many MiB an hour a process may seem to grow that was watched for so long."""
    return max(SLOPE_MEBIBYTES_PER_HOUR_MAX, SCATTER_MEBIBYTES * 3_600 / seconds)


def memory_slope(samples: Sequence[Sample]) -> float:
    """Return by how many MiB an hour the process grew."""
    return slope_per_hour([(sample.at, sample.memory / MEBIBYTE) for sample in samples])


def least(samples: Sequence[Sample], what: Callable[[Sample], int]) -> tuple[int, int]:
    """Return the least of it in the first half and in the second.

    What is in hand at one moment, at an end say, tells little.
    """
    half = len(samples) // 2
    return min(map(what, samples[:half])), min(map(what, samples[half:]))


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    size = max(1, -(-len(points) // POINTS))
    slices = [points[start : start + size] for start in range(0, len(points), size)]
    return [(median(x for x, _ in part), median(y for _, y in part)) for part in slices]
