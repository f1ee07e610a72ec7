"""What was read under an older assignment of a partition is not handled under the present one."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from aiokafka import TopicPartition

from huleedu.core.errors import PeerUnavailable
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.membership import Membership
from huleedu.transport.protocol import Delivery
from tests.support.consumers import PROCEED, Recorder
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.bus import group, raw, until
from tests.transport.kafka.bus import KafkaBus
from tests.transport.kafka.members import GROUP, Member, publish

pytestmark = pytest.mark.anyio
PARTITION, OTHER = TopicPartition(PROCEED, 0), TopicPartition(PROCEED, 1)


class Record(NamedTuple):
    """As much of a record as tells one from another."""

    offset: int


class Rebalancing:
    """A client whose partitions are given out anew while it is asked for records."""

    def __init__(
        self, membership: Membership, revoked: bool, assigned: set[TopicPartition]
    ) -> None:
        self._membership = membership
        self._revoked = revoked
        self._assigned = assigned

    async def getmany(self, **_: object) -> Mapping[TopicPartition, Sequence[Record]]:
        fetched = {PARTITION: [Record(1)], OTHER: [Record(2)]}
        if self._revoked:
            await self._membership.on_partitions_revoked(set(self._membership.assigned))
            await self._membership.on_partitions_assigned(self._assigned)
        return fetched


@pytest.mark.parametrize(
    ("before", "revoked", "after", "handled"),
    [
        ({PARTITION, OTHER}, False, set(), {PARTITION, OTHER}),
        ({PARTITION, OTHER}, True, {PARTITION, OTHER}, set()),
        ({PARTITION, OTHER}, True, {PARTITION}, set()),
        ({PARTITION, OTHER}, True, set(), set()),
        ({PARTITION}, False, set(), {PARTITION}),
        ({PARTITION}, True, {PARTITION, OTHER}, set()),
    ],
)
async def test_records_of_an_older_assignment_are_left_out(
    before: set[TopicPartition],
    revoked: bool,
    after: set[TopicPartition],
    handled: set[TopicPartition],
) -> None:
    """A partition that is taken away during a fetch, and given back or not, is read again from
    where the group stands: what that fetch brought is not handled."""
    membership = Membership(KafkaConnection("nobody:0"), GROUP, [PROCEED], None)
    await membership.on_partitions_assigned(before)
    membership._client = Rebalancing(membership, revoked, after)

    assert (await membership.fetch(10)).keys() == handled


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path, partitions=1)
    await bus.open()
    yield bus
    await bus.close()


@pytest.mark.kafka
@pytest.mark.parametrize("has_store", [True, False])
async def test_what_waits_under_an_older_assignment_is_dropped(
    bus: KafkaBus, has_store: bool
) -> None:
    """A message that waits for its next attempt while its partition is taken away and given back
    is read again, and handled once."""
    store = await bus.store("module") if has_store else None
    healed = anyio.Event()

    async def heals(delivery: Delivery) -> None:
        if not healed.is_set():
            raise PeerUnavailable("not yet")
        if store is not None:
            await store.write(delivery.progress.advance)

    recorder = Recorder(heals)
    member = Member(bus, group(GROUP, recorder), store)
    async with member.running():
        await publish(bus, [raw("a", 0)])
        await until(lambda: len(recorder.deliveries) >= 2)
        await member.membership.on_partitions_revoked({PARTITION})
        await member.membership.on_partitions_assigned({PARTITION})
        member.membership.resume(PARTITION)  # as it is after a rebalance
        seen = len(recorder.deliveries)
        await until(lambda: len(recorder.deliveries) >= seen + 4)
        attempts = [delivery.attempt for delivery in recorder.deliveries[seen:]]
        healed.set()
        await publish(bus, [raw("a", 1)])
        await until(lambda: b"a-1" in recorder.values())

    assert recorder.values() == [b"a-0", b"a-1"]
    assert attempts == list(range(attempts[0], attempts[0] + len(attempts))), "one tries it"
    assert has_store or attempts[0] == 1
