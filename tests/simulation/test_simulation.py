"""A thousand runs keep every promise, and a seed is a run."""

import os
import subprocess
import sys

import pytest

RUNS = 1_000
SEED = 1_000_000
"""Beyond those that `make simulate` begins with."""


def simulated(*arguments: str, **surroundings: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own; its time is its own affair."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.simulation", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **surroundings},
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_runs_keep_every_promise() -> None:
    """No seed of a thousand breaks a promise, whatever goes wrong in it."""
    done = simulated("--runs", str(RUNS), "--seed", str(SEED), "--jobs", "2")
    assert done.stdout.endswith(f"{RUNS} passed, 0 failed\n"), done.stdout[-20_000:] + done.stderr
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_seed_is_a_run() -> None:
    """The same seeds give the same histories, step by step, in another process as well.

    Neither what texts hash to nor where objects are in memory is a part of the run.
    """
    runs = ("--runs", "40", "--seed", "7", "--digests")
    once = simulated(*runs, "--jobs", "1", PYTHONHASHSEED="1")
    again = simulated(*runs, "--jobs", "2", PYTHONHASHSEED="2", PYTHONMALLOC="malloc")
    assert once.returncode == again.returncode == 0
    assert len(once.stdout.splitlines()) == 40
    assert sorted(once.stdout.splitlines()) == sorted(again.stdout.splitlines())
