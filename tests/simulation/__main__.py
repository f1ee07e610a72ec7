"""``python -m tests.simulation --runs 20000 --jobs 2``, and the replay of a single run."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from tests.simulation.campaign import Tally, run_all
from tests.simulation.faults import Fault
from tests.simulation.planted import PLANTED
from tests.simulation.promises import JUDGED, WATCHED, sentence_of
from tests.simulation.run import Report
from tests.simulation.shrink import shrunk
from tests.simulation.world import Build, Options

TELL_EVERY_SECONDS = 10.0
SHOWN_MAX = 3
HISTORY_LINES_MAX = 400


def main() -> int:
    wanted = _arguments().parse_args()
    kinds = among = frozenset(Fault)
    if wanted.among is not None:
        kinds = among = _kinds(wanted.among)
    if wanted.only is not None:
        kinds = _kinds(wanted.only)
    batches = None
    if wanted.batches is not None:
        batches = frozenset(int(one) for one in wanted.batches.split(","))
    build = PLANTED[wanted.planted]() if wanted.planted else Build()
    options = (
        Options(seed, kinds, among, wanted.faults_max, batches, build)
        for seed in range(wanted.seed, wanted.seed + wanted.runs)
    )
    if wanted.digests:
        _print(f"{r.options.seed} {r.digest}" for r in run_all(list(options), wanted.jobs))
        return 0
    if wanted.planted and wanted.runs > 1:
        return _catch(options, wanted.jobs)
    if wanted.runs == 1:
        return _replay(next(options))
    started = time.monotonic()
    tally = _tallied(run_all(list(options), wanted.jobs), wanted.runs)
    for report in tally.failed[:SHOWN_MAX]:
        _show(shrunk(report))
    _sum_up(tally, time.monotonic() - started)
    return 1 if tally.failed else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="as many seeds, from --seed on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", help=f"kinds of faults: {','.join(Fault)}; '' for none")
    parser.add_argument("--among", help="kinds that the seeds draw among, others never happen")
    parser.add_argument("--faults-max", type=int, default=12)
    parser.add_argument("--batches", help="numbers of the batches to keep: 0,2")
    parser.add_argument("--planted", help=f"a bug to be caught: {', '.join(PLANTED)}")
    parser.add_argument("--digests", action="store_true", help="only the digest of each history")
    return parser


def _kinds(names: str) -> frozenset[Fault]:
    return frozenset(Fault(one) for one in names.split(",") if one)


def _tallied(reports: Iterable[Report], runs: int) -> Tally:
    tally = Tally()
    told = time.monotonic()
    for report in reports:
        tally.add(report)
        if report.broken is not None:
            _print([f"seed {report.options.seed} breaks {report.broken.promise}"])
        if time.monotonic() - told > TELL_EVERY_SECONDS:
            told = time.monotonic()
            print(f"{tally.runs} of {runs} runs, {len(tally.failed)} failed", flush=True)  # noqa: T201
    return tally


def _catch(options: Iterable[Options], jobs: int) -> int:
    """Run until a promise is broken, and tell which."""
    runs = 0
    for report in run_all(list(options), jobs):
        runs += 1
        if report.broken is not None:
            _print([str(report.broken), f"digest {report.digest}; to replay:"])
            _print([f"  {command(report.options)}"])
            _print([f"caught by {report.broken.promise} in run {runs}"])
            return 1
    _print([f"not caught in {runs} runs"])
    return 0


def _replay(options: Options) -> int:
    for report in run_all([options], 1):
        _print(report.history or ["(nothing is broken; the history was not kept)"])
        _print([f"digest {report.digest}, {report.steps} steps, faults {dict(report.faults)}"])
        if report.broken is not None:
            _print([str(report.broken)])
            return 1
    return 0


def _show(report: Report) -> None:
    assert report.broken is not None
    lines = report.history
    left_out = len(lines) - HISTORY_LINES_MAX
    if left_out > 0:
        lines = [f"({left_out} lines before these)", *lines[left_out:]]
    _print(["", *lines, "", f"BROKEN: {report.broken}", f"digest {report.digest}; to replay:"])
    _print([f"  {command(report.options)}", ""])


def command(options: Options) -> str:
    """Return the command that replays a run."""
    parts = [f"python -m tests.simulation --seed {options.seed}"]
    if options.among != frozenset(Fault):
        parts.append(f"--among '{','.join(sorted(options.among))}'")
    if options.kinds != options.among:
        parts.append(f"--only '{','.join(sorted(options.kinds))}'")
    if options.faults_max != Options(0).faults_max:
        parts.append(f"--faults-max {options.faults_max}")
    for name, build in PLANTED.items():
        if type(options.build) is build:
            parts.append(f"--planted {name}")
    if options.batches is not None:
        parts.append(f"--batches {','.join(str(one) for one in sorted(options.batches))}")
    return " ".join(parts)


def _sum_up(tally: Tally, seconds: float) -> None:
    _print(_lines(tally, seconds))


def _lines(tally: Tally, seconds: float) -> Iterator[str]:
    yield f"{tally.runs} runs in {seconds:.0f} s: {tally.steps:,} steps, {tally.commits:,} commits"
    yield f"{sum(tally.faults.values()):,} faults:"
    for kind in Fault:
        yield f"  {kind.value:<22} {tally.faults[kind.value]:>9,}"
    yield f"{len(WATCHED) + len(JUDGED)} promises, looked at {tally.checks:,} times:"
    promises: list[Callable[..., object]] = [*WATCHED.values(), *JUDGED.values()]
    for promise in promises:
        yield f"  {promise.__name__}: {sentence_of(promise)}"
    yield f"{tally.runs - len(tally.failed)} passed, {len(tally.failed)} failed"


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
