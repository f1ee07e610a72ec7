"""A smaller run that breaks the same promise: fewer faults, of fewer kinds, fewer batches."""

import dataclasses
from collections.abc import Iterator

from tests.simulation.run import Report, simulate
from tests.simulation.stores import Templates
from tests.simulation.workload import BATCHES_OF_A_CROWD
from tests.simulation.world import Options


def shrunk(report: Report, attempts_max: int = 60) -> Report:
    """Return the report of the smallest run found; ``report`` itself when none is smaller."""
    templates = Templates()
    try:
        smallest = report
        attempts = 0
        progress = True
        while progress and attempts < attempts_max:
            progress = False
            for options in _smaller(smallest):
                attempts += 1
                tried = simulate(options, templates)
                if _breaks_the_same(tried, report):
                    smallest, progress = tried, True
                    break
                if attempts >= attempts_max:
                    break
        return smallest
    finally:
        templates.remove()


def _breaks_the_same(tried: Report, report: Report) -> bool:
    assert report.broken is not None
    return tried.broken is not None and tried.broken.promise == report.broken.promise


def _smaller(report: Report) -> Iterator[Options]:
    options = report.options
    batches = options.batches or frozenset(range(max(BATCHES_OF_A_CROWD)))
    if len(batches) > 1:
        for one in sorted(batches):
            yield dataclasses.replace(options, batches=batches - {one})
    seen = frozenset(kind for kind in options.kinds if report.faults[kind.value])
    if seen != options.kinds:
        yield dataclasses.replace(options, kinds=seen)
    for kind in sorted(seen):
        yield dataclasses.replace(options, kinds=seen - {kind})
    happened = sum(report.faults.values())
    for fewer in sorted({happened // 2, happened - 1} - {options.faults_max}):
        if 0 <= fewer < options.faults_max:
            yield dataclasses.replace(options, faults_max=fewer)
