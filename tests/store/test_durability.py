"""What was said to be written is there, whatever became of the process."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.connections import FULL, watched_connections
from tests.support.stores import note_store, read_notes, write_note

pytestmark = pytest.mark.anyio

WRITE_AND_TELL = """
import anyio, sys
from pathlib import Path
from tests.support.stores import note_store, write_note

async def writer(store, name):
    number = 0
    while True:
        print(await store.write(write_note(f"{name}-{number}")), flush=True)
        number += 1

async def main():
    async with note_store(Path(sys.argv[1])) as store, anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(writer, store, name)

anyio.run(main)
"""


def _written_until_killed(path: Path, lines: int) -> list[str]:
    """Return every note that a process told of as written before it was killed with SIGKILL."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_TELL, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(lines)]
    process.kill()
    rest = process.communicate()[0].splitlines()

    assert process.returncode == -signal.SIGKILL
    return told + [line for line in rest if line.count("-") == 1 and line.split("-")[1]]


async def test_what_write_returned_for_survives_a_kill(tmp_path: Path) -> None:
    """Killed at any moment, again and again, the store holds all that was acknowledged, and of
    the rest at most what was under way."""
    path = tmp_path / "s.db"
    seed = random.randrange(10_000)
    print("seed", seed)  # noqa: T201 - shown when it fails
    chance = random.Random(seed)
    for run in range(3):
        told = _written_until_killed(path, chance.randint(1, 60))
        async with note_store(path) as store:
            kept = await store.read(read_notes)
            await store.write(lambda connection: connection.execute("DELETE FROM note"))

        # A last line may have been cut short by the kill: it is a beginning of what is there.
        missing = [note for note in told[:-1] if note not in kept]
        assert missing == [], f"run {run}, seed {seed}"
        assert len(kept) <= len(told) + 4  # three writers, one write each, and the line cut short


async def test_a_writer_that_is_opened_anew_waits_for_the_disk_as_well(tmp_path: Path) -> None:
    """Whatever made the store give up its connection, the next one is set up like the first."""
    path = tmp_path / "s.db"
    with watched_connections() as connections:
        async with note_store(path) as store:
            await store.write(write_note("before"))
            path.rename(tmp_path / "away.db")  # another file takes its place
            for name in ("s.db-wal", "s.db-shm"):
                (tmp_path / name).unlink(missing_ok=True)
            (tmp_path / "s.db").touch()
            await store.write(write_note("after"))

            assert len(connections.opened) == 2
            assert connections.synchronous() == [("s.db", FULL)]
