"""Many runs, in processes of their own; what came of them all."""

import gc
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.simulation.quiet import silence
from tests.simulation.run import Report, simulate
from tests.simulation.stores import Templates
from tests.simulation.world import Options

COLLECT_EVERY_RUNS = 50
CHUNK_RUNS = 25
SILENCE_SECONDS_MAX = 300.0
"""So long nobody waits for a report: where a worker is killed, its runs never come to an end."""


@dataclass
class Tally:
    """What came of some runs."""

    runs: int = 0
    failed: list[Report] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    commits: int = 0
    seconds: float = 0.0
    checks: int = 0

    def add(self, report: Report) -> None:
        self.runs += 1
        self.faults += report.faults
        self.steps += report.steps
        self.commits += report.commits
        self.seconds += report.seconds
        self.checks += report.checks
        if report.broken is not None:
            self.failed.append(report)


def run_all(options: Sequence[Options], jobs: int) -> Iterator[Report]:
    """Run each, ``jobs`` at once, and yield what came of it as it ends.

    Raises ``multiprocessing.TimeoutError`` when nothing comes for ``SILENCE_SECONDS_MAX``.
    """
    if jobs == 1:
        _begin()
        try:
            yield from map(_one, options)
        finally:
            _end()
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.simulation.run"])
    with context.Pool(jobs, _begin_worker) as pool:
        try:
            chunks = [options[at : at + CHUNK_RUNS] for at in range(0, len(options), CHUNK_RUNS)]
            ended = pool.imap_unordered(_several, chunks)
            for _ in chunks:
                yield from ended.next(timeout=SILENCE_SECONDS_MAX)
            pool.map(_end_worker, range(jobs), 1)
        finally:
            pool.terminate()


_templates: Templates | None = None
_runs = 0


def _begin() -> None:
    global _templates  # noqa: PLW0603 - one a process
    silence()
    _templates = Templates()
    # Garbage is collected between runs, so that nothing of it happens in the midst of one.
    gc.collect()
    gc.freeze()
    gc.disable()


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    _begin()


def _end() -> None:
    global _templates  # noqa: PLW0603
    if _templates is not None:
        _templates.remove()
        _templates = None
    gc.enable()


def _stop(_number: int, _frame: object) -> None:
    _end()
    os._exit(0)  # whatever is in the midst of a run


def _end_worker(_number: int) -> None:
    _end()


def _several(options: Sequence[Options]) -> list[Report]:
    return [_one(one) for one in options]


def _one(options: Options) -> Report:
    global _runs  # noqa: PLW0603
    assert _templates is not None
    _runs += 1
    if _runs % COLLECT_EVERY_RUNS == 0:
        gc.collect()
    return simulate(options, _templates)
