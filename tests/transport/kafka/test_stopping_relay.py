"""What a relay leaves behind when its process is told to stop."""

import fcntl
import os
from pathlib import Path

import pytest

from huleedu.core.message import Message
from huleedu.transport.kafka.lease import LOCK_SUFFIX
from tests.simulation.connection import simulated_library
from tests.support.consumers import PROCEED
from tests.transport.kafka.outbox_process import OutboxProcess, StillBroker, reading

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("has_published", [False, True])
async def test_a_relay_that_stops_gives_its_lease_back(tmp_path: Path, has_published: bool) -> None:
    """Nobody is named in the store any more and the lock is free: the next one leads at once,
    also where the file system has no locks that end with their process."""
    path = tmp_path / "outbox.db"
    with simulated_library():
        one = OutboxProcess(path, StillBroker(), "one")
        await one.start()
        if has_published:
            await one.say([Message(PROCEED, b"k", b"1")])
            await one.publish()
        else:
            await one.until_it_leads()
        with reading(path) as store:
            ((leader,),) = store.execute("SELECT holder FROM outbox_lease").fetchall()
        await one.end()

    with reading(path) as store:
        (left,) = store.execute("SELECT holder, holds_lock FROM outbox_lease").fetchall()
    lock = os.open(path.with_name(path.name + LOCK_SUFFIX), os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where it is held
    finally:
        os.close(lock)
    assert leader == "one"
    assert left == ("", 0)
