"""Several relays of one outbox, hurt at chosen steps while rows are added."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import msgspec
from aiokafka import TopicPartition

from huleedu.core.clock import SystemClock
from huleedu.core.errors import StoreUnavailable
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.transport.kafka.steps import Step
from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_topics import create_topic
from tests.transport.kafka.exactness import Numbers, Seen, judged, read_all
from tests.transport.kafka.relay_process import MIGRATIONS, TIMES, Plan

PARTITIONS = 3
KEYS = [b"k%d" % number for number in range(7)]
PROCESSES = 3
WAIT_SECONDS_MAX = 30.0
LOCKED_SECONDS_MAX = 2.5  # longer than a take-over takes
TAKEOVER_STEPS = (
    *(Step.LEASE_TAKEN, Step.ENDING_NOTED, Step.STARTED, Step.DECIDED),
    *(Step.POSITION_READ, Step.CAUGHT_UP),
)
TREE = Path(__file__).parents[3]


class RelayProcess:
    """A relay that can be stopped, woken and killed."""

    def __init__(self, trial: "Trial", number: int) -> None:
        self.holder = f"relay-{number}"
        self._log = (trial.directory / "relays.log").open("ab")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.transport.kafka.relay_process"),
                *(str(trial.store.path), trial.bootstrap_servers, self.holder, str(trial.plan)),
            ],
            cwd=TREE,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "KAFKA_TOPIC_BATCH_ESSAYS_REGISTERED": trial.topics[0]},
        )

    @property
    def is_dead(self) -> bool:
        return self._process.poll() is not None

    @property
    def is_stopped(self) -> bool:
        status = Path(f"/proc/{self._process.pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "T"

    def send(self, what: signal.Signals) -> None:
        self._process.send_signal(what)

    async def end(self) -> int:
        """Ask it to end, woken if need be; return its exit code, or kill it."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)
        try:
            return await anyio.to_thread.run_sync(self._process.wait, 20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self._log.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()


class Trial:
    """One outbox, its writer and its relays."""

    def __init__(self, store: Database, bootstrap_servers: str, chance: random.Random) -> None:
        prefix = f"relay{uuid.uuid4().hex[:10]}"
        self.store = store
        self.directory = store.path.parent
        self.plan = self.directory / "plan.json"
        self.bootstrap_servers = bootstrap_servers
        self.topics = [f"{prefix}.a", f"{prefix}.b"]
        self.chance = chance
        self.said: Numbers = {}
        self.rows = 0
        self.hurt: Counter[str] = Counter()
        self._relays: list[RelayProcess] = []
        self._started = 0
        self._writing = True
        self._all_written = anyio.Event()
        self._is_locked = False

    async def start(self) -> None:
        """Make the topics and start the relays; returns when one leads."""
        for topic in self.topics:
            await create_topic(self.bootstrap_servers, topic, partitions=PARTITIONS)
        for _ in range(PROCESSES):
            self._start_relay()
        await self._progress()

    def _start_relay(self) -> None:
        self._started += 1
        self._relays.append(RelayProcess(self, self._started))

    async def write(self) -> None:
        """Keep adding rows, a few at a time, until :meth:`finish`."""
        while self._writing:
            messages = [self._next() for _ in range(self.chance.randint(1, 12))]
            add = partial(outbox.add, messages=messages, now=SystemClock().now())
            await self._written(add)
            await anyio.sleep(self.chance.uniform(0.001, 0.02))
        self._all_written.set()

    async def _written(self, add: Callable[[sqlite3.Connection], None]) -> None:
        while True:
            try:
                await self.store.write(add)
            except StoreUnavailable:
                # A process was stopped in the midst of a write: then nobody can write.
                self._is_locked = True
            else:
                self._is_locked = False
                return

    def _next(self) -> Message:
        topic, key = self.chance.choice(self.topics), self.chance.choice(KEYS)
        self.rows += 1
        self.said.setdefault((topic, key), []).append(self.rows)
        return Message(topic, key, str(self.rows).encode(), {"event-id": str(self.rows)})

    async def round(self, plan: Plan) -> None:
        """Have the plan befall a relay, and return when rows flow again.

        One that was stopped wakes up when another has taken over and published.
        """
        self.hurt[f"{plan.step}/{plan.action}"] += 1
        self._put(plan)
        if plan.step in TAKEOVER_STEPS:
            self._replace(await self._leader())  # not to be taken for the one that the plan hits
        await self._until(lambda: not self.plan.exists(), f"{plan} befalls somebody")
        if plan.action == "stop":
            await self._until(lambda: any(r.is_stopped for r in self._alive()), "one is stopped")
            await self._progress()
            await anyio.sleep(self.chance.uniform(0, 0.4))
            self._wake()
        elif plan.action == "kill":
            await self._until(lambda: any(r.is_dead for r in self._relays), "one is dead")
        await self._heal()

    async def random_moment(self, action: signal.Signals) -> None:
        """Stop or kill the leader wherever it is."""
        self.hurt[f"any moment/{action.name}"] += 1
        await anyio.sleep(self.chance.uniform(0, 0.3))
        (await self._leader()).send(action)
        if action == signal.SIGSTOP:
            await self._progress()
        self._wake()
        await self._heal()

    async def sleep_alone(self, plan: Plan, seconds: float) -> None:
        """Stop all relays, the leader at a step, until the broker has given its transaction up.

        The leader wakes up first and finds nobody in its place.
        """
        self.hurt[f"{plan.step}/alone"] += 1
        leader = await self._leader()
        for relay in self._alive():
            if relay is not leader:
                relay.send(signal.SIGSTOP)
        self._put(plan)
        await self._until(lambda: leader.is_dead or leader.is_stopped, "the leader is stopped")
        await anyio.sleep(seconds)
        leader.send(signal.SIGCONT)
        await anyio.sleep(self.chance.uniform(0, 1))
        self._wake()
        await self._heal()

    async def broker_away(self, broker: KafkaBroker, seconds: float) -> None:
        """Freeze the broker for so long, or kill it when it is for none."""
        self.hurt["broker paused" if seconds else "broker killed"] += 1
        if seconds:
            broker.pause()
            await anyio.sleep(seconds)
            broker.resume()
        else:
            await anyio.to_thread.run_sync(broker.kill)
            await anyio.to_thread.run_sync(broker.start)
        await self._heal()

    async def finish(self) -> Seen:
        """Stop writing, let the outbox drain, end the relays, and read what there is."""
        self._writing = False
        await self._all_written.wait()
        await self._until_drained()
        for relay in self._relays:
            # One that is still starting does not listen for the signal yet.
            code = await relay.end()
            assert code in (0, -signal.SIGTERM), f"ended with {code}: {self.log_tail()}"
        self._relays.clear()
        partitions = [TopicPartition(t, p) for t in self.topics for p in range(PARTITIONS)]
        return judged(self.said, await read_all(self.bootstrap_servers, partitions))

    def kill_all(self) -> None:
        """Leave no process behind."""
        for relay in self._relays:
            relay.kill()

    def _put(self, plan: Plan) -> None:
        new = self.plan.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(plan))
        new.rename(self.plan)

    def _alive(self) -> Sequence[RelayProcess]:
        return [relay for relay in self._relays if not relay.is_dead]

    def _wake(self) -> None:
        for relay in self._alive():
            relay.send(signal.SIGCONT)

    async def _heal(self) -> None:
        for relay in [relay for relay in self._relays if relay.is_dead]:
            self._replace(relay)
        await self._progress()

    def _replace(self, relay: RelayProcess) -> None:
        relay.kill()
        self._relays.remove(relay)
        self._start_relay()

    async def _leader(self) -> RelayProcess:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < deadline:
            ((holder,),) = await self.store.read(
                lambda db: db.execute("SELECT holder FROM outbox_lease").fetchall()
            )
            for relay in self._alive():
                if relay.holder == holder and not relay.is_stopped:
                    return relay
            await anyio.sleep(0.02)
        raise AssertionError(f"nobody leads for {WAIT_SECONDS_MAX:g} s: {self.log_tail()}")

    async def _progress(self) -> None:
        """Return when rows that were added from now on are marked."""
        goal = self.rows + 1

        async def reached() -> bool:
            rows = await self.store.read(
                lambda db: db.execute(
                    "SELECT 1 FROM outbox WHERE id >= ? AND sent_at IS NOT NULL LIMIT 1", (goal,)
                ).fetchall()
            )
            return bool(rows)

        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not await reached():
            assert time.monotonic() < deadline, f"no row is published: {self.log_tail()}"
            if self._is_locked:
                self.hurt["(woken early: it held the store's lock)"] += 1
                self._is_locked = False
                self._wake()
            await anyio.sleep(0.02)

    async def _until_drained(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while (await self.store.read(outbox.backlog))[0]:
            assert time.monotonic() < deadline, f"rows stay unsent: {self.log_tail()}"
            await anyio.sleep(0.02)

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not holds():
            assert time.monotonic() < deadline, f"not within time: {what}: {self.log_tail()}"
            await anyio.sleep(0.01)

    def log_tail(self) -> str:
        return (self.directory / "relays.log").read_text(errors="replace")[-4000:]


@asynccontextmanager
async def trial(directory: Path, bootstrap_servers: str, seed: int) -> AsyncIterator[Trial]:
    """A trial that runs, with rows being added; nothing of it is left afterwards."""
    store = Database(directory / "outbox.db", MIGRATIONS, Platform().hops, LOCKED_SECONDS_MAX)
    await store.open()
    one = Trial(store, bootstrap_servers, random.Random(seed))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.write)
            await one.start()
            yield one
            tasks.cancel_scope.cancel()
    finally:
        one.kill_all()
        await store.close()


def long_enough() -> float:
    """Return for how long one sleeps so that the broker has ended its transaction."""
    # The broker looks for expired transactions once a second (the fixture's configuration).
    return TIMES.transaction_timeout_ms / 1000 + 2.5
