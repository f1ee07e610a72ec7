"""One relay of one outbox as a process of its own, to be stopped or killed where a plan says.

``python -m tests.transport.kafka.relay_process STORE BOOTSTRAP HOLDER PLAN``
"""

import os
import signal
import sys
import threading
from pathlib import Path

import anyio
import msgspec

from huleedu.core.errors import BrokerUnavailable
from huleedu.core.logging import configure_logging
from huleedu.core.platform import Platform
from huleedu.store.database import Database
from huleedu.store.outbox import outbox_migrations
from huleedu.store.outbox_identity import outbox_identity_migrations
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.relay import KafkaRelay, RelayTimes
from huleedu.transport.kafka.steps import Step

MIGRATIONS = (outbox_migrations, outbox_identity_migrations)
TIMES = RelayTimes(lapse_seconds=1.0, beat_seconds=0.2, transaction_timeout_ms=3_000)


class Plan(msgspec.Struct, frozen=True):
    """What befalls the first process that comes to ``step`` for the ``skip + 1``-th time."""

    step: Step
    action: str
    """``stop`` (SIGSTOP), ``kill`` (SIGKILL), or ``fail``: the broker seems to be away."""
    skip: int = 0
    delay: float = 0.0
    """Seconds from there: so that it falls into the next call, wherever that is."""


class PlannedStop:
    """Carries out the plan that lies in a file; whoever takes the file away does it."""

    def __init__(self, plan: Path) -> None:
        self._plan = plan
        self._passed = 0

    async def at(self, step: Step) -> None:
        try:
            plan = msgspec.json.decode(self._plan.read_bytes(), type=Plan)
        except FileNotFoundError:
            self._passed = 0
            return
        if plan.step != step:
            return
        self._passed += 1
        if self._passed <= plan.skip:
            return
        try:
            self._plan.unlink()
        except FileNotFoundError:  # another process was faster
            return
        if plan.action == "fail":
            raise BrokerUnavailable(f"as planned, at {step}")
        sent = signal.SIGSTOP if plan.action == "stop" else signal.SIGKILL
        if plan.delay:
            threading.Timer(plan.delay, os.kill, (os.getpid(), sent)).start()
        else:
            os.kill(os.getpid(), sent)


async def main(store: str, bootstrap_servers: str, holder: str, plan: str) -> None:
    platform = Platform()
    database = Database(Path(store), MIGRATIONS, platform.hops)
    await database.open()
    relay = KafkaRelay(
        database,
        KafkaConnection(bootstrap_servers),
        platform,
        holder,
        TIMES,
        PlannedStop(Path(plan)).at,
    )
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(relay.run)
            with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    break
            tasks.cancel_scope.cancel()
    finally:
        await database.close()


if __name__ == "__main__":
    configure_logging(level="INFO", form="json")
    _, _store, _servers, _holder, _plan = sys.argv
    anyio.run(main, _store, _servers, _holder, _plan)
