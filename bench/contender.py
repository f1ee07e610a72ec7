"""The processes that are measured: the bare loop and the real els-worker."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from tests.support.deployment import Deployment

TREE = Path(__file__).parents[1]
START_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Contender:
    """A process to be measured: how it is started, and what it writes when it begins."""

    name: str
    command: Sequence[str]
    started: bytes
    environment: Callable[[Path, str, str], Mapping[str, str]]


def _bare_environment(directory: Path, servers: str, prefix: str) -> Mapping[str, str]:
    ours = {
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "BENCH_PREFIX": prefix,
        "BENCH_SCRATCH": str(directory),
    }
    return os.environ | ours


def _role_environment(directory: Path, servers: str, prefix: str) -> Mapping[str, str]:
    return Deployment(directory, servers, prefix, KAFKA_STATIC_MEMBERSHIP="true").environment


BARE_LOOP = Contender("bare loop", ["-m", "bench.limit_raw"], b"CONSUMER_START", _bare_environment)
ELS_WORKER = Contender(
    "els-worker",
    ["-m", "huleedu", "serve", "--role", "els-worker"],
    b"consumer_started",
    _role_environment,
)


@asynccontextmanager
async def running(
    contender: Contender, environment: Mapping[str, str], log: anyio.Path
) -> AsyncIterator[int]:
    """Run the process, its output in ``log``; gives its id, and kills it (SIGKILL) at the end."""
    async with await log.open("wb") as out:
        process = await anyio.open_process(
            [sys.executable, *contender.command],
            env=environment,
            cwd=TREE,
            stdin=None,
            stdout=out.wrapped,
            stderr=out.wrapped,
        )
    try:
        yield process.pid
    except TimeoutError:
        said = await log.read_text()
        print(f"the end of {contender.name}'s log:\n{said[-2000:]}", file=sys.stderr)
        raise
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()


async def await_start(contender: Contender, log: anyio.Path) -> float:
    """Wait until the process begins to consume; return when that was seen (``current_time``)."""
    with anyio.fail_after(START_SECONDS_MAX):
        # Another process writes it.
        while contender.started not in await log.read_bytes():  # noqa: ASYNC110
            await anyio.sleep(0.002)
    return anyio.current_time()
