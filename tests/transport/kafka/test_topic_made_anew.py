"""A topic that is deleted and created again under the same name is another topic."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from aiokafka.client import AIOKafkaClient

from huleedu.store.database import Database
from huleedu.transport.kafka.topic_ids import topic_ids
from huleedu.transport.protocol import Delivery
from tests.support.consumers import PROCEED, Recorder
from tests.support.eventually import eventually
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.support.kafka_topics import create_topic, delete_topics
from tests.transport.bus import group, raw, until
from tests.transport.kafka.bus import KafkaBus
from tests.transport.kafka.members import GROUP, Member, publish

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]
OLD = [raw("old", number) for number in range(3)]
NEW = [raw("new", number) for number in range(5)]


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path, partitions=1)
    await bus.open()
    yield bus
    await bus.close()


@pytest.fixture
async def client(bus: KafkaBus) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(**bus.connection.client_options())
    await client.bootstrap()
    yield client
    with anyio.CancelScope(shield=True):
        await client.close()


async def make_anew(bus: KafkaBus, client: AIOKafkaClient) -> None:
    await delete_topics(bus.connection.bootstrap_servers, [PROCEED])
    await eventually(partial(topic_ids, client, [PROCEED]), lambda ids: not ids)
    await create_topic(bus.connection.bootstrap_servers, PROCEED, partitions=1)


async def test_topics_have_ids_of_their_own(bus: KafkaBus, client: AIOKafkaClient) -> None:
    """A topic keeps its id, another one of the same name has another; one that is not there has
    none, and is not created by the question."""
    before = await topic_ids(client, [PROCEED, "not-there"])
    same = await topic_ids(client, [PROCEED])
    await make_anew(bus, client)
    after = await topic_ids(client, [PROCEED, "not-there"])

    assert same == before
    assert before.keys() == after.keys() == {PROCEED}
    assert before[PROCEED] != after[PROCEED]


def recorder(store: Database | None) -> Recorder:
    """Return a consumer that keeps its position in its store, if it has one."""

    async def advance(delivery: Delivery) -> None:
        if store is not None:
            await store.write(delivery.progress.advance)

    return Recorder(advance)


@pytest.mark.parametrize("has_store", [True, False])
async def test_it_is_read_from_its_start_however_far_it_has_grown(
    bus: KafkaBus, client: AIOKafkaClient, has_store: bool
) -> None:
    """While the group is away its topic is made anew and grows past where the group stands: every
    message of the new topic is handled, and once; so after another restart."""
    store = await bus.store("module") if has_store else None
    recorders = [recorder(store) for _ in range(3)]
    old, new, later = (Member(bus, group(GROUP, one), store) for one in recorders)
    async with old.running():
        await publish(bus, OLD)
        await until(lambda: len(recorders[0].handled) >= len(OLD))
    await make_anew(bus, client)
    await publish(bus, NEW)
    async with new.running():
        await until(lambda: len(recorders[1].handled) >= len(NEW))
        assert new.group.troubles() == []
    async with later.running():
        await publish(bus, [raw("later", 0)])
        await until(lambda: bool(recorders[2].handled))

    assert recorders[1].values() == [message.value for message in NEW]
    assert recorders[2].values() == [b"later-0"]


@pytest.mark.parametrize("has_store", [True, False])
async def test_so_while_the_group_reads_it(
    bus: KafkaBus, client: AIOKafkaClient, has_store: bool
) -> None:
    """A topic is made anew under a consumer that runs: it handles every message of the new one."""
    store = await bus.store("module") if has_store else None
    heard = recorder(store)
    member = Member(bus, group(GROUP, heard), store)
    async with member.running():
        await publish(bus, OLD)
        await until(lambda: len(heard.handled) >= len(OLD))
        await make_anew(bus, client)
        await publish(bus, NEW)
        await until(lambda: set(heard.values(b"new")) == {message.value for message in NEW})
