"""``python -m tests.faults``: every row in full, or those that are named, and a table."""

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import httpx

from tests.faults.ground import Ground, Outcome
from tests.faults.rows import ROWS, Row
from tests.support.kafka_broker import KafkaBroker

SHOWN_MAX = 5


@dataclass
class Line:
    """One line of the table."""

    row: Row
    outcome: Outcome
    seconds: float


def run_row(row: Row, directory: Path, seed: int, *, sample: bool) -> Line:
    """Run one row over a broker of its own; a row that fails half-way is told as not passed."""
    began = time.monotonic()
    directory.mkdir()
    broker = KafkaBroker(directory / "kafka")
    ground = Ground(broker, directory, random.Random(f"{seed}-{row.name}"))
    run = row.sample if sample else row.full
    try:
        broker.start()
        outcome = anyio.run(partial(run, ground))
    except (AssertionError, TimeoutError, httpx.HTTPError, ExceptionGroup) as fault:
        traceback.print_exception(fault)
        outcome = Outcome("", [], [f"{type(fault).__name__}: {fault}"])
    finally:
        broker.kill()
    if not outcome.broken:
        shutil.rmtree(directory)
    return Line(row, outcome, time.monotonic() - began)


def print_table(lines: Sequence[Line]) -> None:
    """Print what came of each row."""
    for line in lines:
        verdict = "FAIL" if line.outcome.broken else "pass"
        print(f"{line.row.name:>8}  {verdict}  {line.seconds:6.0f} s  {line.row.promise}")  # noqa: T201
        for told in (line.outcome.faults, *line.outcome.measured):
            print(f"{'':26}{told}")  # noqa: T201
        for fault in line.outcome.broken[:SHOWN_MAX]:
            print(f"{'':26}BROKEN: {fault}")  # noqa: T201
        if (more := len(line.outcome.broken) - SHOWN_MAX) > 0:
            print(f"{'':26}… and {more} more")  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 0 when every promise held."""
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    names = ",".join(row.name for row in ROWS)
    parser.add_argument("--rows", default=names, help=f"of {names}")
    parser.add_argument("--sample", action="store_true", help="the small numbers of the tests")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    wanted = options.rows.split(",")
    unknown = set(wanted) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {names}")
    print(f"seed {seed}", flush=True)  # noqa: T201
    # The library tells of every broker that is away, and here they are away on purpose.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    directory = Path(tempfile.mkdtemp(prefix="huleedu-faults-"))
    lines = []
    for row in (one for one in ROWS if one.name in wanted):
        print(f"row {row.name}: {row.promise}", flush=True)  # noqa: T201
        lines.append(run_row(row, directory / f"row-{row.name}", seed, sample=options.sample))
        print_table(lines[-1:])
        sys.stdout.flush()
    print()  # noqa: T201
    print_table(lines)
    failed = sum(bool(line.outcome.broken) for line in lines)
    if failed:
        print(f"what the failed rows left is in {directory}, seed {seed}")  # noqa: T201
    else:
        shutil.rmtree(directory)
    print(f"{len(lines) - failed} passed, {failed} failed")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
