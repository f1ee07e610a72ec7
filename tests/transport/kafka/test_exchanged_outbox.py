"""A store whose content is exchanged for an older one while its relay runs."""

from functools import partial
from pathlib import Path

import pytest

from huleedu.core.message import Message
from huleedu.store.outbox_identity import read_outbox_id
from tests.simulation.connection import simulated_library
from tests.support.consumers import PROCEED
from tests.support.eventually import eventually
from tests.transport.kafka.outbox_process import OutboxProcess, StillBroker, copied

pytestmark = pytest.mark.anyio


def rows(first: int) -> list[Message]:
    return [Message(PROCEED, b"k", str(n).encode()) for n in range(first, first + 3)]


async def test_a_relay_notices_that_its_rows_are_gone(tmp_path: Path) -> None:
    """It settles anew without being started anew, and publishes what is added from then on."""
    path, backup, broker = tmp_path / "outbox.db", tmp_path / "backup.db", StillBroker()
    with simulated_library():
        one = OutboxProcess(path, broker, "one")
        await one.start()
        try:
            await one.say(rows(0))
            await one.publish()
            copied(path, backup)
            await one.say(rows(3))
            await one.publish()
            old_id = await one.database.read(read_outbox_id)
            copied(backup, path)
            await eventually(
                partial(one.database.read, read_outbox_id), lambda found: found != old_id
            )
            await one.say(rows(6))
            await one.publish()
        finally:
            await one.end()

    assert [int(record.value) for _, record in broker.read()] == list(range(9))
