"""What every row stands on: a broker of its own to hurt, a folder, chance from a seed."""

import random
import signal
import sqlite3
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from tests.support.deployment import Deployment, RoleProcess
from tests.support.eventually import eventually
from tests.support.kafka_broker import KafkaBroker

START_SECONDS_MAX = 90.0


@dataclass(frozen=True)
class Ground:
    """Where one row runs."""

    broker: KafkaBroker
    directory: Path
    chance: random.Random


@dataclass
class Outcome:
    """What came of a row."""

    faults: str
    """What was done, and how often."""
    measured: Sequence[str]
    """What was counted and timed meanwhile, each with its unit."""
    broken: list[str] = field(default_factory=list)
    """Every promise that was not kept, in words; empty: the row is passed."""


def tell(what: str) -> None:
    """Print one line of progress."""
    print(f"    {what}", flush=True)  # noqa: T201


def new_prefix() -> str:
    """Return what the names of one deployment's topics and groups begin with."""
    return f"f{uuid.uuid4().hex[:10]}."


@asynccontextmanager
async def deployed(
    ground: Ground, name: str, prefix: str, **environment: str
) -> AsyncIterator[tuple[Deployment, Path]]:
    """A deployment whose topics are made and whose roles are yet to be started; and its folder."""
    data = ground.directory / name
    servers = ground.broker.bootstrap_servers
    with Deployment(data, servers, prefix, **environment) as deployment:
        topics = deployment.start("topics")
        code = await anyio.to_thread.run_sync(topics.wait)
        assert code == 0, topics.log.read_text()[-2000:]
        del deployment.processes["topics"]
        yield deployment, data


def start_program(deployment: Deployment, module: str, name: str) -> RoleProcess:
    """Start a program of these tests in the environment of a role."""
    command = [sys.executable, "-m", module]
    process = deployment.processes[name] = RoleProcess(name, command, deployment.environment)
    process.start()
    return process


class Told:
    """What a process logs from now on, or has logged ever."""

    def __init__(self, process: RoleProcess, *, ever: bool = False) -> None:
        self._process = process
        self._offset = process.log.stat().st_size if process.log.exists() and not ever else 0

    def has(self, event: str) -> bool:
        """Tell whether a line with this event is there."""
        with self._process.log.open("rb") as log:
            log.seek(self._offset)
            return f'"{event}"'.encode() in log.read()

    async def until(self, event: str, seconds: float = START_SECONDS_MAX) -> None:
        """Return when the event is told; raises ``AssertionError`` when it is not in time."""
        deadline = anyio.current_time() + seconds
        while not self.has(event):
            assert self._process.is_running, f"{self._process.name} ended: {self._process.log}"
            assert anyio.current_time() < deadline, (
                f"{self._process.name} did not tell {event}: {self._process.log}"
            )
            await anyio.sleep(0.02)


async def start_roles(deployment: Deployment, *names: str) -> None:
    """Start each role and return when all have told that they are up."""
    started = [deployment.start(name) for name in names]
    for process in started:
        await Told(process, ever=True).until("role_started")


async def bounce(process: RoleProcess, how: signal.Signals) -> list[str]:
    """End the process by the signal and start it again; return what was wrong about its end."""
    process.signal(how)
    code = await anyio.to_thread.run_sync(process.wait)
    told = Told(process)
    process.start()
    await told.until("role_started")
    wanted = 0 if how is signal.SIGTERM else -how
    return [] if code == wanted else [f"{process.name} ended with {code} after {how.name}"]


async def bounce_broker(broker: KafkaBroker, how: signal.Signals) -> None:
    """End the broker by the signal and start it again; returns when it answers."""
    end = broker.kill if how is signal.SIGKILL else broker.stop
    await anyio.to_thread.run_sync(end)
    await anyio.to_thread.run_sync(broker.start)


def stop_roles(deployment: Deployment) -> list[str]:
    """Stop every process; return those that had ended before or did not end well."""
    silent = [name for name, one in deployment.processes.items() if not one.is_running]
    codes = deployment.stop()
    return [
        *(f"{name} had ended before" for name in silent),
        *(f"{name} ended with {code} when stopped" for name, code in codes.items() if code),
    ]


def rows(path: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    """Return what a store answers, read beside the process that writes it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query, values).fetchall()


def count(path: Path, query: str, *values: object) -> int:
    """Return the one number that a store answers."""
    ((number,),) = rows(path, query, *values)
    assert isinstance(number, int)
    return number


async def until_count(probe: Callable[[], int], at_least: int, seconds: float) -> float:
    """Return the seconds until ``probe`` says so many; raises ``AssertionError`` after too long."""

    async def look() -> int:
        return probe()

    began = anyio.current_time()
    await eventually(look, lambda seen: seen >= at_least, seconds)
    return anyio.current_time() - began
