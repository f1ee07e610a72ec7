"""Leaving a group: while its broker is away, and in the midst of a commit."""

from collections.abc import AsyncIterator, Collection, Mapping
from functools import partial
from pathlib import Path

import anyio
import pytest
from aiokafka import TopicPartition

from huleedu.transport.kafka.committed import Committed
from huleedu.transport.kafka.membership import Membership
from tests.support.consumers import Recorder
from tests.support.kafka_broker import KafkaBroker
from tests.transport.bus import group, raw, say, until, until_sent
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


class Unanswered(Membership):
    """The first commit of it gets no answer."""

    is_asked = False

    async def commit(self, told: Mapping[TopicPartition, Committed]) -> Collection[TopicPartition]:
        if not self.is_asked and any(one.handled.start for one in told.values()):
            self.is_asked = True
            await anyio.sleep_forever()
        return await super().commit(told)


async def test_what_was_being_committed_at_the_end_is_committed_when_it_leaves(
    bus: KafkaBus,
) -> None:
    """Who stops in the midst of a commit tells the broker once more where it stands."""
    sender, recorder = await bus.store("sender"), Recorder()
    await say(sender, bus, [raw("a", number) for number in range(3)])
    async with bus.running([], [sender]):
        await until_sent(sender)
    member = Member(bus, group(GROUP, recorder), None, membership=Unanswered)
    assert isinstance(member.membership, Unanswered)
    async with member.running():
        await until(partial(getattr, member.membership, "is_asked"))
    after = Recorder()
    async with Member(bus, group(GROUP, after), None).running():
        await say(sender, bus, [raw("a", 3)])
        async with bus.running([], [sender]):
            await until(lambda: after.values()[-1:] == [b"a-3"])

    assert recorder.handled != []
    assert [*recorder.values(), *after.values()] == [b"a-%d" % number for number in range(4)]
