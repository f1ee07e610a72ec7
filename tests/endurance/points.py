"""Named moments of a running program, told to whoever wants to know, or die there."""

import os
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Point:
    """The n-th time, from 1, that a moment of this name comes."""

    name: str
    occurrence: int

    def __str__(self) -> str:
        return f"{self.name} #{self.occurrence}"


class Points:
    """Counts the moments that pass; kills the process at the one it was given."""

    def __init__(self) -> None:
        self._turn = threading.Lock()  # moments come in many threads
        self._seen: Counter[str] = Counter()
        self._fatal: Point | None = None
        self._record: Path | None = None

    def kill_at(self, point: Point) -> None:
        """Count from here on, and have the process die at this point."""
        with self._turn:
            self._seen.clear()
            self._fatal, self._record = point, None

    def record(self, path: Path) -> None:
        """Count from here on, and write every point that passes into this file, one a line."""
        with self._turn:
            self._seen.clear()
            self._fatal, self._record = None, path

    def pass_(self, name: str) -> None:
        """Note that a moment of this name is here; does not return from the fatal one."""
        with self._turn:
            self._seen[name] += 1
            point = Point(name, self._seen[name])
            if point == self._fatal:
                # No handler, no flush, no thread that goes on.
                os.kill(os.getpid(), signal.SIGKILL)
            if self._record is not None:
                with self._record.open("a") as record:
                    record.write(f"{point.name}\t{point.occurrence}\n")


def recorded(path: Path) -> list[Point]:
    """Return the points of a record, in their order."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [
        Point(name, int(number)) for name, _, number in (line.partition("\t") for line in lines)
    ]
