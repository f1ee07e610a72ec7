"""Several processes on one store: nobody is told that it is locked, and each claim succeeds once.

Each process claims the same events in an order of its own, each claim together with its effect in
one transaction, as a consumer does; and beside every claim it writes a row of its own.
"""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from sqlite3 import Connection

import anyio
from sqlite_utils import Database as SchemaDatabase

from huleedu.core.errors import StoreUnavailable
from huleedu.core.hops import ThreadHops
from huleedu.store.database import Database
from huleedu.store.handled import claim, handled_migrations
from huleedu.store.migrations import Migrations
from tests.endurance.report import Finding

PROCESSES = 4
WAITING_AT_ONCE = 20

effect_migrations = Migrations("effect")


@effect_migrations()
def create_effect(database: SchemaDatabase) -> None:
    database.conn.execute("CREATE TABLE effect (event TEXT NOT NULL, process TEXT NOT NULL) STRICT")


MIGRATIONS = (effect_migrations, handled_migrations)


async def claim_all(path: Path, process: str, events: int) -> None:
    """Claim every event, and print what could not be written."""
    store = Database(path, MIGRATIONS, ThreadHops())
    await store.open()
    waiting = [f"event-{number}" for number in range(events)]
    random.Random(process).shuffle(waiting)

    async def claim_some() -> None:
        while waiting:
            event = waiting.pop()
            try:
                await store.write(partial(_claim, event=event, process=process))
                await store.read(_last_effect)
            except StoreUnavailable as fault:
                print(f"{event}: {fault}", flush=True)  # noqa: T201

    async with anyio.create_task_group() as tasks:
        for _ in range(WAITING_AT_ONCE):
            tasks.start_soon(claim_some)
    await store.close()


def _last_effect(connection: Connection) -> object:
    return connection.execute("SELECT max(rowid) FROM effect").fetchone()


def _claim(connection: Connection, event: str, process: str) -> None:
    if claim(connection, "group", [event], datetime.now(UTC)):
        connection.execute("INSERT INTO effect VALUES (?, ?)", (event, process))
    connection.execute("INSERT INTO effect VALUES (?, ?)", (f"own-{process}-{event}", process))


def check_one_store(directory: Path, events: int = 2_000) -> Finding:
    """Have four processes claim the same events on one store."""
    path = directory / "s.db"
    command = [sys.executable, "-m", "tests.endurance.one_store", str(path), str(events)]
    running = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, text=True)
        for number in range(PROCESSES)
    ]
    refused = [line for process in running for line in process.communicate()[0].splitlines()]
    faults = [f"a user was told: {line}" for line in refused]
    faults += [f"a process ended with {p.returncode}" for p in running if p.returncode]
    effects = Counter(event for (event,) in anyio.run(_effects, path))
    claimed = [f"event-{number}" for number in range(events)]
    own = [f"own-{number}-{event}" for number in range(PROCESSES) for event in claimed]
    faults += [
        f"{event} has {effects[event]} effects" for event in [*claimed, *own] if effects[event] != 1
    ]
    seen = f"{PROCESSES} processes x {events} claims and writes, {len(refused)} refused"
    return Finding("one store, several processes", seen, faults)


async def _effects(path: Path) -> Sequence[tuple[str]]:
    store = Database(path, MIGRATIONS, ThreadHops())
    await store.open()
    try:
        return await store.read(lambda db: db.execute("SELECT event FROM effect").fetchall())
    finally:
        await store.close()


if __name__ == "__main__":
    anyio.run(claim_all, Path(sys.argv[1]), sys.argv[3], int(sys.argv[2]))
