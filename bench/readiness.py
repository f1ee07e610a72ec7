"""``make bench-readiness``: how fast ELS turns texts into ready batches, beside a bare loop.

The same pre-loaded workload is consumed in turns by the bare loop (``limit_raw``) and by the real
``huleedu serve --role els-worker`` with its durable store; timed from where each begins to consume
until a read_committed reader has a result about every batch.  Whatever else the machine does
bears on both: trust the ratio within a pair, not the figures.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import psutil
import uvloop

from bench.contender import BARE_LOOP, ELS_WORKER, Contender, await_start, running
from bench.loaded_broker import Results, faults, loaded_topics
from bench.recovery import recoveries, told
from bench.workload import Event, batches, stream
from tests.support.kafka_broker import KafkaBroker

SECONDS_MAX = 600.0


@dataclass(frozen=True)
class Measured:
    """One run; CPU and memory are of the process alone, CPU only while it consumed."""

    events_per_second: float
    cpu_seconds: float
    peak_megabytes: float
    faults: Sequence[str]


CONTENDERS = (BARE_LOOP, ELS_WORKER)


async def measure(
    contender: Contender, directory: Path, servers: str, prefix: str, events: Sequence[Event]
) -> Measured:
    """Return what one run over these topics, which hold ``events``, gave."""
    await anyio.Path(directory).mkdir()
    batch_count = len({event.key for event in events})
    log = anyio.Path(directory / "process.log")
    environment = contender.environment(directory, servers, prefix)
    async with Results(servers, prefix) as results, running(contender, environment, log) as pid:
        began = await await_start(contender, log)
        cpu_before = _cpu_seconds(pid)
        with anyio.fail_after(SECONDS_MAX):
            outcome = await results.read(batch_count)
        cpu_seconds = _cpu_seconds(pid) - cpu_before
        peak = _peak_megabytes(pid)
    return Measured(
        len(events) / (outcome.finished_at - began),
        cpu_seconds,
        peak,
        faults(outcome.results, batches(batch_count)),
    )


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _peak_megabytes(pid: int) -> float:
    # Not what wait4 tells: that counts the memory of whoever forked the process, too.
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"the kernel does not tell the peak memory of process {pid}")


async def compare(batch_count: int, pairs: int, directory: Path, servers: str) -> bool:
    """Print the table of ``pairs`` pairs; return whether every result was right."""
    events = stream(batch_count)
    print(f"{batch_count:,} batches, {len(events):,} events; {pairs} pairs, in turns")
    print(f"{'':14}{'events/s':>10}{'CPU s':>8}{'MB':>6}  wrong results")
    ratios: list[float] = []
    right = True
    for pair in range(1, pairs + 1):
        speeds: dict[str, float] = {}
        for number, contender in enumerate(CONTENDERS):
            prefix = f"b{pair:03d}{number}-"
            async with loaded_topics(servers, prefix, events):
                run = await measure(contender, directory / prefix, servers, prefix, events)
            speeds[contender.name] = run.events_per_second
            print(
                f"{contender.name:14}{run.events_per_second:10,.0f}{run.cpu_seconds:8.1f}"
                f"{run.peak_megabytes:6.0f}  {len(run.faults)} {'; '.join(run.faults[:3])}",
                flush=True,
            )
            right = right and not run.faults
        ratios.append(speeds["els-worker"] / speeds["bare loop"])
        print(f"{'pair ' + str(pair):14}{ratios[-1]:10.2f} of the bare loop", flush=True)
    print(f"{'median':14}{statistics.median(ratios):10.2f} of the bare loop")
    return right


async def report(batch_count: int, pairs: int, kills: int, directory: Path, servers: str) -> bool:
    """Print both comparisons; return whether every result was right."""
    right = await compare(batch_count, pairs, directory, servers)
    if kills:
        print(told(await recoveries(directory, servers, stream(batch_count), kills)))
    return right


def main() -> int:
    """Run the command line; return 1 when a result was missing, wrong or repeated."""
    parser = argparse.ArgumentParser(prog="bench.readiness", description=__doc__)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-readiness-") as name:
        broker = KafkaBroker(Path(name) / "kafka")
        broker.start()
        try:
            right = uvloop.run(
                report(
                    given.batches, given.pairs, given.kills, Path(name), broker.bootstrap_servers
                )
            )
        finally:
            broker.stop()
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
