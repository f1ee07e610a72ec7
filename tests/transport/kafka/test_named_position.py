"""What the broker's position says of a file, and a file that is exchanged under its relay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from huleedu.core.message import Message
from huleedu.store.outbox_identity import read_openings, read_outbox_id
from huleedu.transport.kafka.position import position_offsets, position_partition, transactional_id
from huleedu.transport.kafka.shared_rows import Position
from tests.simulation.connection import simulated_library
from tests.support.consumers import PROCEED
from tests.support.eventually import eventually
from tests.transport.kafka.outbox_process import OutboxProcess, StillBroker, copied

pytestmark = pytest.mark.anyio


def rows(first: int) -> list[Message]:
    return [Message(PROCEED, b"k", str(n).encode()) for n in range(first, first + 3)]


@asynccontextmanager
async def running(path: Path, broker: StillBroker) -> AsyncIterator[OutboxProcess]:
    with simulated_library():
        one = OutboxProcess(path, broker, "one")
        await one.start()
        try:
            yield one
        finally:
            await one.end()


async def named(one: OutboxProcess, broker: StillBroker, row_id: int) -> bool:
    """Tell whether the broker has this row as the last, and of this very file."""
    openings = await one.database.read(read_openings)
    outbox_id = await one.database.read(read_outbox_id)
    group = broker.groups[transactional_id(outbox_id)]
    (expected,) = position_offsets(Position(row_id, openings)).values()
    partition = position_partition()
    return (group.offsets[partition], group.beside[partition]) == (
        expected.offset,
        expected.metadata,
    )


async def test_the_broker_knows_of_which_file_a_position_is(tmp_path: Path) -> None:
    """So before the first row is published, so after each slice."""
    broker = StillBroker()
    async with running(tmp_path / "outbox.db", broker) as one:
        await one.publish()
        assert await named(one, broker, 0)
        await one.say(rows(0))
        await one.publish()
        assert await named(one, broker, 3)


async def test_a_position_of_an_older_program_is_named_at_once(tmp_path: Path) -> None:
    """Whoever takes over from a program that did not name the file does so before anything
    else, so that the next one has not to believe it again."""
    path, broker = tmp_path / "outbox.db", StillBroker()
    async with running(path, broker) as one:
        await one.say(rows(0))
        await one.publish()
        old_id = await one.database.read(read_outbox_id)
    broker.groups[transactional_id(old_id)].beside.clear()
    async with running(path, broker) as one:
        await one.publish()

        assert await one.database.read(read_outbox_id) == old_id
        assert await named(one, broker, 3)


async def test_a_position_that_cannot_be_read_is_not_believed(tmp_path: Path) -> None:
    """The outbox gets a new id, and nothing is published twice that is marked."""
    path, broker = tmp_path / "outbox.db", StillBroker()
    async with running(path, broker) as one:
        await one.say(rows(0))
        await one.publish()
        old_id = await one.database.read(read_outbox_id)
    broker.groups[transactional_id(old_id)].beside[position_partition()] = "nonsense"
    async with running(path, broker) as one:
        await one.say(rows(3))
        await one.publish()

        assert await one.database.read(read_outbox_id) != old_id
    assert [int(record.value) for _, record in broker.read()] == list(range(6))


async def test_a_relay_notices_that_its_rows_are_gone(tmp_path: Path) -> None:
    """It settles anew without being started anew, and publishes what is added from then on."""
    path, backup, broker = tmp_path / "outbox.db", tmp_path / "backup.db", StillBroker()
    async with running(path, broker) as one:
        await one.say(rows(0))
        await one.publish()
        copied(path, backup)
        await one.say(rows(3))
        await one.publish()
        old_id = await one.database.read(read_outbox_id)
        copied(backup, path)
        await eventually(partial(one.database.read, read_outbox_id), lambda now: now != old_id)
        await one.say(rows(6))
        await one.publish()

    assert [int(record.value) for _, record in broker.read()] == list(range(9))
