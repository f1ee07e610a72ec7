"""A long time of everything: mixed load, a nemesis, quiet gaps; nothing lost, nothing growing.

``python -m tests.endurance.soak --minutes 60`` (``make soak MINUTES=60``).  In the first part the
program is killed, stopped and paused every 10 to 30 s, with a quiet gap after every third blow;
then it lives on and is only paused.  Its stores may keep 2 MiB of their files in memory, so that
after some minutes these are full; in the second half of the whole time it is judged whether memory
and descriptors grow.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.observed import observe
from tests.crash.process import HuleeduProcess
from tests.crash.verdict import faults
from tests.endurance.load import Load
from tests.endurance.report import Finding, table
from tests.endurance.server_address import Address
from tests.endurance.vitals import (
    MEBIBYTE,
    Sample,
    Vitals,
    least,
    memory_slope,
    slope_limit,
    slope_per_hour,
)

NEMESIS_SHARE = 0.3  # of the whole time
JUDGED_SHARE = 0.5  # of the whole time, the last; between the two caches fill
SLOPE_SECONDS_MIN = 300.0
"""A line is laid where the judged part is no shorter: caches are full after six minutes."""
MEMORY_GROWTH_MAX = 32 * MEBIBYTE  # of a shorter one
DESCRIPTORS_GROWTH_MAX = 32  # open connections come and go
SMALL = {
    "HULEEDU_STORE_CACHE_MEBIBYTES": "2",
    "RESULTS_SERVICE_HEARTBEAT_SECONDS": "1",  # and so watchers leave in time
}


@dataclass
class Nemesis:
    """What was done to the program, by name."""

    server: HuleeduProcess
    address: Address
    chance: random.Random
    blows: list[str] = field(default_factory=list)

    def strike(self, *, may_end: bool) -> None:
        """Do one of the three; without ``may_end`` the process lives on."""
        how = self.chance.choice(["kill -9", "stop", "pause"]) if may_end else "pause"
        self.blows.append(how)
        if how == "pause":
            self.server.send(signal.SIGSTOP)
            time.sleep(self.chance.uniform(0.5, 5.0))
            self.server.send(signal.SIGCONT)
            return
        if how == "kill -9":
            self.server.kill()
        elif code := self.server.stop():
            raise AssertionError(f"it ended with {code}")
        self.server.start()
        self.address.url = self.server.url

    def rage(self, seconds: float, gaps: tuple[float, float], *, may_end: bool) -> None:
        """Strike for so long, with gaps of so many seconds, and a longer one after every third."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            quiet = 2 if len(self.blows) % 3 == 2 else 1
            time.sleep(min(quiet * self.chance.uniform(*gaps), max(0, until - time.monotonic())))
            if time.monotonic() < until:
                self.strike(may_end=may_end)


def soak(
    directory: Path,
    seconds: float,
    seed: int,
    gaps: tuple[float, float],
    planted: str | None = None,
) -> Finding:
    """Soak for about so many seconds; ``gaps``: least and most seconds between two blows.

    ``planted``: a bug that the program has (see ``tests.crash.planted``).
    """
    server = HuleeduProcess(
        directory / "data", directory / "log.jsonl", environment=SMALL, planted=planted
    )
    server.start()
    observe(directory / "data")
    address = Address(server.url)
    load = Load(address, seed)
    nemesis = Nemesis(server, address, random.Random(seed))
    load.start()
    try:
        nemesis.rage(NEMESIS_SHARE * seconds, gaps, may_end=True)
        vitals = Vitals(server.pid)
        vitals.start()
        nemesis.rage((1 - NEMESIS_SHARE) * seconds, gaps, may_end=False)
        vitals.stop()
    finally:
        load.finish()
        code = server.stop() if server.is_running else -1
    broken = [
        *load.tally.broken,
        *faults(directory / "data", load.tally.batches, load.tally.answered),
    ]
    if code:
        broken.append(f"it ended with {code}")
    since = vitals.samples[-1].at - JUDGED_SHARE * seconds
    steady = [sample for sample in vitals.samples if sample.at >= since]
    broken += growth(steady)
    blows = ", ".join(f"{nemesis.blows.count(how)} x {how}" for how in sorted(set(nemesis.blows)))
    seen = (
        f"{len(load.tally.batches)} classes, {len(load.tally.lost)} lost, {blows or 'no blow'}, "
        f"{sum(load.answers.values())} blunders, {load.streamed} pieces streamed; {_told(steady)}"
    )
    return Finding(f"soak of {seconds / 60:.1f} min", seen, broken)


def _told(steady: Sequence[Sample]) -> str:
    children = slope_per_hour([(s.at, s.children_memory / MEBIBYTE) for s in steady])
    descriptors = slope_per_hour([(s.at, float(s.descriptors)) for s in steady])
    first, last, watched = steady[0], steady[-1], _watched(steady)
    limit = f"limit {slope_limit(watched):.1f}" if watched >= SLOPE_SECONDS_MIN else "not judged"
    return (
        f"in the last {watched / 60:.1f} min memory "
        f"{first.memory / MEBIBYTE:.1f} -> {last.memory / MEBIBYTE:.1f} MiB, "
        f"slope {memory_slope(steady):+.2f} MiB/h ({limit}; children {children:+.1f}), "
        f"descriptors {first.descriptors} -> {last.descriptors} ({descriptors:+.1f}/h)"
    )


def growth(steady: Sequence[Sample]) -> list[str]:
    """Return in words what grew while it was watched."""
    faults = []
    slope, limit = memory_slope(steady), slope_limit(_watched(steady))
    if _watched(steady) >= SLOPE_SECONDS_MIN and slope > limit:
        faults.append(f"memory grows by {slope:.2f} MiB an hour, above {limit:.1f}")
    early, late = least(steady, lambda sample: sample.memory)
    if late - early > MEMORY_GROWTH_MAX:
        faults.append(f"memory grew by {(late - early) / MEBIBYTE:.0f} MiB")
    early, late = least(steady, lambda sample: sample.descriptors)
    if late - early > DESCRIPTORS_GROWTH_MAX:
        faults.append(f"{late - early} more descriptors")
    return faults


def _watched(steady: Sequence[Sample]) -> float:
    return steady[-1].at - steady[0].at


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 0 when nothing was lost and nothing grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="huleedu-soak-") as directory:
        finding = soak(Path(directory), 60 * options.minutes, seed, (10.0, 30.0))
    print(table([finding]))  # noqa: T201
    return 0 if finding.holds else 1


if __name__ == "__main__":
    sys.exit(main())
