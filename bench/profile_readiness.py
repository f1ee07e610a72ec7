"""Where the time of the els-worker goes: the same role under cProfile, in this process.

``python -m bench.profile_readiness [--batches N]``.  Every thread has a profile of its own, told
in CPU seconds of that thread, so that waiting costs nothing; the profile itself costs more where
functions are small, so that figures in C code (SQLite, decoding) look smaller than they are.
"""

import argparse
import cProfile
import pstats
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import anyio

from bench.loaded_broker import Results, faults, loaded_topics
from bench.workload import batches, stream
from huleedu.app import roles
from huleedu.core.logging import configure_logging
from huleedu.core.settings import KafkaSettings, Settings
from tests.support.kafka_broker import KafkaBroker

PREFIX = ""  # the topics of this process have their own names
LINES = 45
_WAITING = ("~", 0, "<method 'acquire' of '_thread.lock' objects>")


class ThreadProfiles:
    """One profile for this thread and one for every thread that starts from now on."""

    def __init__(self) -> None:
        self.profiles: list[tuple[str, cProfile.Profile]] = []
        threading.setprofile(self._begin)
        self._begin()

    def _begin(self, *_: Any) -> None:
        sys.setprofile(None)
        profile = cProfile.Profile(time.thread_time)
        self.profiles.append((threading.current_thread().name, profile))
        profile.enable()

    def end(self) -> None:
        """Take no more threads, and no more of this one; the others have nothing to do."""
        threading.setprofile(None)
        for _, profile in self.profiles:
            profile.disable()


async def profile(servers: str, directory: Path, batch_count: int, order: str) -> None:
    """Print the profile of consuming so many batches, per thread, by ``order``."""
    events = stream(batch_count)
    settings = Settings(
        data_dir=directory,
        kafka_bootstrap_servers=servers,
        kafka=KafkaSettings(static_membership=True),
    )
    async with loaded_topics(servers, PREFIX, events), Results(servers, PREFIX) as results:
        profiles = ThreadProfiles()
        async with roles.running_roles(settings, ["els-worker"]):
            outcome = await results.read(batch_count)
        profiles.end()
    wrong = faults(outcome.results, batches(batch_count))
    print(f"{batch_count:,} batches, {len(events):,} events, {len(wrong)} wrong results")
    for name, one in profiles.profiles:
        stats = pstats.Stats(one)
        # Where it waits for work; the profile ends that in this thread, by another thread's clock.
        waiting = stats.stats.pop(_WAITING, None)
        stats.total_tt -= waiting[2] if waiting else 0.0
        if stats.total_tt > 0.2:
            per_event = stats.total_tt / len(events) * 1e6
            print(f"\n{name}: {stats.total_tt:.1f} CPU s, {per_event:.1f} µs an event")
            stats.strip_dirs().sort_stats(order).print_stats(LINES)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="bench.profile_readiness", description=__doc__)
    parser.add_argument("--batches", type=int, default=2_000)
    parser.add_argument("--order", choices=["tottime", "cumulative"], default="tottime")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as name:
        configure_logging("INFO", "json", (Path(name) / "log").open("w"))
        broker = KafkaBroker(Path(name) / "kafka")
        broker.start()
        try:
            anyio.run(
                profile,
                broker.bootstrap_servers,
                Path(name) / "data",
                given.batches,
                given.order,
                backend_options={"use_uvloop": True},
            )
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
