"""Leaving a group whose broker is away."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests.support.consumers import Recorder
from tests.support.kafka_broker import KafkaBroker
from tests.transport.bus import group, until
from tests.transport.kafka.bus import KafkaBus
from tests.transport.kafka.members import GROUP, Member

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
async def bus(
    anyio_backend: str, own_broker: KafkaBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(own_broker.bootstrap_servers, tmp_path)
    await bus.open()
    yield bus
    await bus.close()


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
