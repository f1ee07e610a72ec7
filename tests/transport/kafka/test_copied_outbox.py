"""An outbox that was put back from a backup, or copied, on a broker that knows the other one."""

from pathlib import Path

import pytest

from huleedu.core.message import Message
from huleedu.core.metrics import OUTBOX_RENEWED
from huleedu.store.outbox_identity import read_outbox_id
from tests.support.eventually import eventually
from tests.support.kafka_fixtures import AnyBroker, NewTopic
from tests.transport.kafka.outbox_process import copied
from tests.transport.kafka.relay_support import (
    drained,
    make_position_topic,
    opened,
    read,
    relaying,
    say,
)

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


@pytest.fixture(autouse=True)
async def _position_topic(broker: AnyBroker) -> None:
    await make_position_topic(broker.bootstrap_servers)


def messages(topic: str, numbers: range) -> list[Message]:
    # Their ids follow from the place: what is said anew after a loss often has the same.
    return [Message(topic, b"k", str(n).encode(), {"event-id": str(n % 100)}) for n in numbers]


@pytest.mark.parametrize("new", [0, 4, 5, 8])
async def test_a_store_put_back_loses_nothing_and_repeats_nothing(
    tmp_path: Path, broker: AnyBroker, new_topic: NewTopic, new: int
) -> None:
    """What was added since is published, though the broker remembers rows of these ids; what the
    backup holds as unsent, and was published since, is not published again; and it is counted."""
    topic, servers = await new_topic("said", partitions=1), broker.bootstrap_servers
    path, backup = tmp_path / "outbox.db", tmp_path / f"backup-{new}.db"
    async with opened(path) as store:
        await say(store, messages(topic, range(3)))
        async with relaying(store, servers):
            await drained(store)
        await say(store, messages(topic, range(3, 5)))
        copied(path, backup)
        await say(store, messages(topic, range(5, 10)))
        async with relaying(store, servers):
            await drained(store)
        old_id = await store.read(read_outbox_id)
    async with opened(backup) as store:
        await say(store, messages(topic, range(105, 105 + new)))
        async with relaying(store, servers):
            await drained(store)

        assert await eventually(lambda: store.read(read_outbox_id), lambda now: now != old_id)
    said = messages(topic, range(10)) + messages(topic, range(105, 105 + new))
    assert list(await read(servers, topic)) == said
    assert OUTBOX_RENEWED.labels(f"backup-{new}")._value.get() == 1


async def test_two_copies_at_once_lose_nothing_and_repeat_nothing(
    tmp_path: Path, broker: AnyBroker, new_topic: NewTopic
) -> None:
    """One of the two goes on under an id of its own; what both hold is published once, and what
    each adds in its order."""
    topic, servers = await new_topic("said", partitions=1), broker.bootstrap_servers
    paths = [tmp_path / "first.db", tmp_path / "second.db"]
    async with opened(paths[0]) as first:
        await say(first, messages(topic, range(4)))
        copied(*paths)
        async with (
            opened(paths[1]) as second,
            relaying(first, servers),
            relaying(second, servers),
        ):
            for begin in range(100, 130, 10):
                await say(first, messages(topic, range(begin, begin + 10)))
                await say(second, messages(topic, range(100 + begin, 110 + begin)))
                await drained(first)
                await drained(second)
            ids = {await one.read(read_outbox_id) for one in (first, second)}
    numbers = [int(one.value) for one in await read(servers, topic)]

    assert len(ids) == 2
    assert sorted(numbers) == [*range(4), *range(100, 130), *range(200, 230)]
    for mine in (range(130), range(200, 230)):
        assert [n for n in numbers if n in mine] == [n for n in mine if n in numbers]
