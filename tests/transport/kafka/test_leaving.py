"""A group whose broker is long away."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests.support.consumers import Recorder, proceed
from tests.support.kafka_broker import KafkaBroker
from tests.transport.bus import group, until
from tests.transport.kafka.bus import KafkaBus
from tests.transport.kafka.members import GROUP, Member, publish

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
async def bus(
    anyio_backend: str, own_broker: KafkaBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(own_broker.bootstrap_servers, tmp_path)
    await bus.open()
    yield bus
    await bus.close()


async def test_a_group_outlives_a_broker_that_is_long_away(
    bus: KafkaBus, own_broker: KafkaBroker
) -> None:
    """Its consumer is made anew while nobody answers; when the broker is back it goes on."""
    recorder = Recorder()
    member = Member(bus, group(GROUP, recorder), None, watchdog_seconds=1.0)
    said = [proceed(bus.platform, f"b{n}") for n in range(4)]
    async with member.running():
        await publish(bus, said[:2])
        await until(lambda: len(recorder.handled) == 2)
        await anyio.to_thread.run_sync(own_broker.kill)
        first = member.membership._client
        assert first is not None
        await until(lambda: member.membership._client is not first)
        connections = list(first._client._conns.values())
        await anyio.to_thread.run_sync(own_broker.start)
        await publish(bus, said[2:])
        await until(lambda: len({m.event_id for m in recorder.handled}) == 4)

    assert not any(connection.connected() for connection in connections)


async def test_leaving_cancels_nobody_but_the_fetches(
    bus: KafkaBus, own_broker: KafkaBroker
) -> None:
    """A fetch that waits for its next attempt is given up; whoever leaves the group goes on, and
    no connection is left open."""
    membership = Member(bus, group(GROUP, Recorder()), None).membership
    await membership.join()
    await until(lambda: len(membership.assigned) == 3)
    client = membership.client
    await client.seek_to_beginning(*membership.assigned)
    await membership.fetch(1)
    await anyio.to_thread.run_sync(own_broker.kill)
    await until(lambda: any(not task.done() for task in client._fetcher._pending_tasks))
    left = False
    with anyio.fail_after(60):
        await membership.leave()
        left = True

    assert left
    assert not client._client._conns
