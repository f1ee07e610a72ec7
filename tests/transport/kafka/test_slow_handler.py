"""A handler may take longer than a member may be silent."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest

from huleedu.core.errors import PeerUnavailable
from huleedu.transport.protocol import Delivery
from tests.support.consumers import Recorder, proceed
from tests.support.eventually import eventually
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.bus import group, until
from tests.transport.kafka.bus import KafkaBus
from tests.transport.kafka.members import GROUP, Member, publish

pytestmark = [pytest.mark.anyio, pytest.mark.kafka, pytest.mark.slow]
MAX_POLL_SECONDS = 6.0
HANDLER_SECONDS = 14.0


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path)
    await bus.open()
    yield bus
    await bus.close()


@pytest.mark.parametrize("has_store", [True, False])
async def test_a_slow_message_is_done_once(bus: KafkaBus, has_store: bool) -> None:
    """It takes more than twice the time after which a silent member loses its partitions: with
    two members it is begun once, nothing is rebalanced meanwhile, and its offset is committed."""
    store = await bus.store("module") if has_store else None

    async def slow(_: Delivery) -> None:
        await anyio.sleep(HANDLER_SECONDS)

    recorders = [Recorder(slow), Recorder(slow)]
    members = [
        Member(bus, group(GROUP, r), store, max_poll_seconds=MAX_POLL_SECONDS) for r in recorders
    ]
    memberships = [member.membership for member in members]

    def assigned() -> list[dict[object, int]]:
        return [dict(membership.assigned) for membership in memberships]

    async with members[0].running(), members[1].running():
        await until(lambda: sorted(len(one) for one in assigned()) == [1, 2])
        before = assigned()
        message = proceed(bus.platform, "b")
        await publish(bus, [message])
        await until(lambda: any(r.deliveries for r in recorders))
        began = anyio.current_time()
        await eventually(
            lambda: bus._committed(GROUP, message.topic), lambda at: 1 in at.values(), 30
        )
        assert anyio.current_time() - began > HANDLER_SECONDS - 1
        assert assigned() == before

    assert sum(len(r.deliveries) for r in recorders) == 1
    assert [m.event_id for r in recorders for m in r.handled] == [message.event_id]


async def test_a_slow_message_that_fails_is_done_by_who_has_it_then(bus: KafkaBus) -> None:
    """A second member comes while the first is slow, which loses its partitions, and then fails:
    the first lives on, and the message is handled once, by one of them."""
    store = await bus.store("module")
    fail, live = anyio.Event(), anyio.Event()

    async def fails_once(_: Delivery) -> None:
        if not fail.is_set():
            await fail.wait()
            raise PeerUnavailable("after all that time")
        await live.wait()

    recorders = [Recorder(fails_once), Recorder(fails_once)]
    members = [Member(bus, group(GROUP, recorder), store) for recorder in recorders]
    async with members[0].running():
        message = proceed(bus.platform, "b")
        await publish(bus, [message])
        await until(lambda: bool(recorders[0].deliveries))
        before = dict(members[0].membership.assigned)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(members[1].group.run)
            await until(lambda: members[0].membership.assigned != before)
            fail.set()
            live.set()
            await until(lambda: any(r.handled for r in recorders))
            committed = partial(bus._committed, GROUP, message.topic)
            await eventually(committed, lambda at: 1 in at.values())
            tasks.cancel_scope.cancel()

    assert [m.event_id for r in recorders for m in r.handled] == [message.event_id]


async def test_trouble_goes_with_the_partition(bus: KafkaBus) -> None:
    """What a member tells of a partition that it retries is no longer told once it has lost it."""
    store, healed = await bus.store("module"), anyio.Event()

    async def in_trouble(_: Delivery) -> None:
        if not healed.is_set():
            raise PeerUnavailable("away")

    recorders = [Recorder(in_trouble), Recorder()]
    first, second = (Member(bus, group(GROUP, recorder), store) for recorder in recorders)
    messages = [proceed(bus.platform, f"b{n}") for n in range(20)]
    async with first.running():
        await publish(bus, messages)
        await until(lambda: "away" in " ".join(first.group.held_up()))
        async with second.running():
            await until(lambda: bool(recorders[1].handled))
            healed.set()
            await until(lambda: sum(len(r.handled) for r in recorders) == len(messages))
            await until(lambda: not first.group.held_up())
