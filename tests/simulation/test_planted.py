"""A deliberately broken build is caught, and the promise that it breaks is named."""

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.test_simulation import simulated

RUNS_MAX = 250
"""Seeds within which a bug must be caught; most are in the first twenty."""

BREAKS = {
    "dedupe-removed": {"each_message_takes_effect_once"},
    "outbox-marked-before-publish": {
        "every_batch_ends",
        "everything_comes_to_rest",
        "all_stores_tell_the_same",
    },
    "offset-committed-first": {
        "every_batch_ends",
        "everything_comes_to_rest",
        "what_cannot_be_read_is_kept",
        "all_stores_tell_the_same",
    },
    "early-content-dropped": {"every_batch_ends"},
    "deadline-only-in-memory": {"deadlines_are_told"},
    "wrong-slot-count": {"essays_are_counted_right"},
    "transition-check-skipped": {"legal_moves_only", "essays_are_counted_right"},
    "retry-without-backoff": {"what_fails_waits"},
    "projection-applied-twice": {"what_was_said_is_in_the_story"},
    "dead-letter-before-commit": {"one_dead_letter_each"},
    "ending-forgotten": {"everything_comes_to_rest"},
    "silent-reconnection": {"everything_comes_to_rest"},
    "handled-forgotten-early": {"each_message_takes_effect_once", "nothing_is_said_twice"},
    "offset-past-unhandled": {"everything_comes_to_rest"},
}
"""What is wrong → the promises by which it may be seen first."""
AMONG = {
    "ending-forgotten": "broker restart,unknown publish,crash",
    "silent-reconnection": "broker restart,unknown publish,zombie",
    "handled-forgotten-early": "month passed,lost acknowledgement",
    "offset-past-unhandled": "crash amid a check,stop",
    "deadline-only-in-memory": "crash,stop",
}
"""Where a bug shows only under rare faults: the kinds that the seeds draw among."""
SEEDS = {"dead-letter-before-commit": 130, "wrong-slot-count": 20, "transition-check-skipped": 5}
"""Where it shows only in a rare run: seeds from which it is not far."""


def test_every_planted_bug_is_looked_for() -> None:
    """Each of them has a promise that it breaks."""
    assert BREAKS.keys() == PLANTED.keys()
    assert AMONG.keys() | SEEDS.keys() <= PLANTED.keys()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BREAKS)
def test_a_planted_bug_is_caught(bug: str) -> None:
    """The simulation stops at the broken promise, names it, and says how to see it again."""
    seed = str(SEEDS.get(bug, 0))
    among = ("--among", AMONG[bug]) if bug in AMONG else ()
    runs = ("--runs", str(RUNS_MAX), "--seed", seed, "--jobs", "1")
    done = simulated("--planted", bug, *runs, *among)
    told = done.stdout.splitlines()[-1] if done.stdout else done.stderr
    assert done.returncode == 1, told
    assert told.startswith("caught by "), done.stdout[-5_000:] + done.stderr
    assert told.split()[2] in BREAKS[bug], done.stdout[-5_000:]
    assert f"--planted {bug}" in done.stdout
