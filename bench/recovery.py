"""How soon the els-worker says its next result after kill -9, in the middle of the workload."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import anyio

from bench.contender import ELS_WORKER, await_start, running
from bench.loaded_broker import Results, loaded_topics
from bench.workload import Event

RESULTS_BETWEEN_KILLS = 100
SECONDS_MAX = 120.0


async def recoveries(
    directory: Path, servers: str, events: Sequence[Event], kills: int
) -> Sequence[float]:
    """Return the seconds from ``consumer_started`` to the first new result, for each kill.

    All over the same topics and store, so that each start finds what the killed one left: a
    partition half read, a transaction that may be open.  Raises ``TimeoutError`` where no result
    comes within ``SECONDS_MAX``, so also when the workload is too small for so many kills.
    """
    prefix = "recovery-"
    home = directory / "recovery"
    home.mkdir()
    environment = ELS_WORKER.environment(home, servers, prefix)
    log = anyio.Path(home / "process.log")
    seconds: list[float] = []
    async with loaded_topics(servers, prefix, events), Results(servers, prefix) as results:
        with anyio.fail_after(SECONDS_MAX):
            async with running(ELS_WORKER, environment, log):
                await results.next(RESULTS_BETWEEN_KILLS)
        for _ in range(kills):
            await results.rest()  # nobody says any more: what comes next is the new process's
            with anyio.fail_after(SECONDS_MAX):
                async with running(ELS_WORKER, environment, log):
                    began = await await_start(ELS_WORKER, log)
                    seconds.append(await results.next(1) - began)
                    await results.next(RESULTS_BETWEEN_KILLS)
    return seconds


def told(seconds: Sequence[float]) -> str:
    """Return the line for the report."""
    return (
        f"first result after kill -9: {statistics.median(seconds):.2f} s after consumer_started"
        f" (median of {len(seconds)}; {min(seconds):.2f} to {max(seconds):.2f} s)"
    )
