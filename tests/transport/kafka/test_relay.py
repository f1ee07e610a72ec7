"""From an outbox to Kafka, with nothing and with something in the way."""

from pathlib import Path

import anyio
import pytest
from aiokafka import AIOKafkaProducer

from huleedu.core.message import Message
from huleedu.core.metrics import OUTBOX_ROWS, RELAY_PUBLISHED
from huleedu.store.outbox_identity import topics_written
from huleedu.transport.kafka.relay import KafkaRelay
from huleedu.transport.kafka.steps import Step
from tests.support.eventually import eventually
from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_fixtures import AnyBroker, NewTopic
from tests.support.kafka_topics import create_topic
from tests.transport.kafka.relay_support import (
    FailsOnce,
    drained,
    make_position_topic,
    opened,
    read,
    relay_of,
    relaying,
    say,
)

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


@pytest.fixture(autouse=True)
async def _position_topic(broker: AnyBroker) -> None:
    await make_position_topic(broker.bootstrap_servers)


def messages(topic: str, first: int, count: int) -> list[Message]:
    return [
        Message(topic, b"k%d" % (n % 3), str(n).encode(), {"event-id": str(n), "ägare": "Åsa"})
        for n in range(first, first + count)
    ]


async def test_rows_arrive_as_they_were_said(
    tmp_path: Path, broker: AnyBroker, new_topic: NewTopic
) -> None:
    """Key, value and headers arrive byte for byte, in order, once, and the metrics tell it."""
    topic = await new_topic("said", partitions=1)
    async with opened(tmp_path / "said.db") as database:
        await say(database, messages(topic, 0, 1_500))
        async with relaying(database, broker.bootstrap_servers) as relay:
            await drained(database)
            await say(database, messages(topic, 1_500, 5))
            await drained(database)

            assert relay.troubles() == []
    seen = await read(broker.bootstrap_servers, topic)

    assert list(seen) == messages(topic, 0, 1_505)
    assert RELAY_PUBLISHED.labels("said")._value.get() == 1_505
    assert OUTBOX_ROWS.labels("said")._value.get() <= 1_500


@pytest.mark.parametrize(
    "step",
    [
        Step.ENDING_NOTED,
        Step.STARTED,
        Step.DECIDED,
        Step.POSITION_READ,
        Step.CAUGHT_UP,
        Step.SLICE_READ,
        Step.BEGUN,
        Step.ROW_SENT,
        Step.ROWS_ACKNOWLEDGED,
        Step.POSITION_SENT,
        Step.COMMITTED,
        Step.MARKED,
    ],
)
async def test_a_failure_at_any_step_repeats_nothing(
    tmp_path: Path, broker: AnyBroker, new_topic: NewTopic, step: Step
) -> None:
    """Whatever step fails, the rows arrive once and in order, and the relay goes on by itself."""
    topic = await new_topic("said", partitions=1)
    failing = FailsOnce(step)
    async with (
        opened(tmp_path / "outbox.db") as database,
        relaying(database, broker.bootstrap_servers, at=failing.at) as relay,
    ):
        for first in range(0, 60, 20):
            await say(database, messages(topic, first, 20))
            await drained(database)
        await eventually(lambda: _troubles(relay), lambda told: told == [])
    seen = await read(broker.bootstrap_servers, topic)

    assert failing.has_failed
    assert list(seen) == messages(topic, 0, 60)


async def _troubles(relay: KafkaRelay) -> list[str]:
    return list(relay.troubles())


async def test_a_row_that_no_broker_takes_holds_up_nothing(
    tmp_path: Path, broker: AnyBroker, new_topic: NewTopic, topic_prefix: str
) -> None:
    """A row that is too large goes to the dead letters with its cause; the rows around it go on."""
    topic = await new_topic("said", partitions=1)
    await new_topic("said.dlq", partitions=1)
    large = Message(topic, b"k0", b"x" * 2_000_000, {"event-id": "large"})
    async with opened(tmp_path / "outbox.db") as database:
        await say(database, [*messages(topic, 0, 2), large, *messages(topic, 2, 2)])
        async with relaying(database, broker.bootstrap_servers):
            await drained(database)
    (dead,) = await read(broker.bootstrap_servers, f"{topic}.dlq")

    assert list(await read(broker.bootstrap_servers, topic)) == messages(topic, 0, 4)
    assert dead.event_id == "large"
    assert dead.headers["dead-letter-error-class"] == "TooLarge"
    assert dead.headers["dead-letter-cut-from-bytes"] == "2000000"


async def test_rows_wait_for_their_topic(
    tmp_path: Path, broker: AnyBroker, new_topic: NewTopic, topic_prefix: str
) -> None:
    """Rows of a topic that is not there wait, with the reason told, and go on when it is made."""
    topic = f"{topic_prefix}late"
    async with (
        opened(tmp_path / "outbox.db") as database,
        relaying(database, broker.bootstrap_servers) as relay,
    ):
        await say(database, messages(topic, 0, 3))
        (trouble,) = await eventually(lambda: _troubles(relay), lambda told: len(told) == 1)
        assert f"waiting for the topic {topic}" in trouble
        await create_topic(broker.bootstrap_servers, topic, partitions=1)
        await drained(database)
        await eventually(lambda: _troubles(relay), lambda told: told == [])

    assert list(await read(broker.bootstrap_servers, topic)) == messages(topic, 0, 3)


async def test_a_second_relay_stands_by(
    tmp_path: Path, broker: AnyBroker, new_topic: NewTopic
) -> None:
    """Of two relays of one outbox one works; when it ends, the other goes on where it stood."""
    topic = await new_topic("said", partitions=1)
    async with opened(tmp_path / "outbox.db") as database, anyio.create_task_group() as tasks:
        relays = [
            relay_of(database, broker.bootstrap_servers, holder) for holder in ("first", "second")
        ]
        scopes = [anyio.CancelScope(), anyio.CancelScope()]
        for number, (relay, scope) in enumerate(zip(relays, scopes, strict=True)):
            tasks.start_soon(_run_within, relay, scope)
            await say(database, messages(topic, 10 * number, 10))
            await drained(database)
        scopes[0].cancel()
        await say(database, messages(topic, 20, 10))
        await drained(database)
        scopes[1].cancel()

    assert list(await read(broker.bootstrap_servers, topic)) == messages(topic, 0, 30)


async def test_a_topic_is_noted_for_good_before_a_record_may_be_there(
    tmp_path: Path, broker: AnyBroker, new_topic: NewTopic
) -> None:
    """Whoever takes over finds every topic that any relay of this outbox has written to."""
    topics = [await new_topic(name, partitions=1) for name in ("said", "told")]
    known = set()
    async with opened(tmp_path / "outbox.db") as database:

        async def at(step: Step) -> None:
            if step is Step.BEGUN:
                known.add(await database.read(topics_written))

        for topic in topics:
            await say(database, messages(topic, 0, 3))
            async with relaying(database, broker.bootstrap_servers, at):
                await drained(database)

    assert known == {frozenset(topics[:1]), frozenset(topics)}


async def test_records_hidden_in_a_topic_of_an_earlier_relay_are_noticed(
    tmp_path: Path, broker: AnyBroker, new_topic: NewTopic
) -> None:
    """The later one settles anew for them, although it has published nothing there itself."""
    topic = await new_topic("said", partitions=1)
    steps: list[Step] = []
    settled_anew = anyio.Event()

    async def at(step: Step) -> None:
        steps.append(step)
        if steps.count(Step.CAUGHT_UP) == 2:
            settled_anew.set()

    somebody = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, transactional_id=f"{topic}.somebody"
    )
    async with opened(tmp_path / "outbox.db") as database:
        await say(database, messages(topic, 0, 3))
        async with relaying(database, broker.bootstrap_servers):
            await drained(database)
        await somebody.start()
        try:
            async with somebody.transaction():
                await somebody.send_and_wait(topic, b"", b"k")
                async with relaying(database, broker.bootstrap_servers, at):
                    with anyio.fail_after(20):
                        await settled_anew.wait()
        finally:
            await somebody.stop()


class Oversleeping:
    """A relay that believes it leads, and ends its one transaction when it is told to."""

    def __init__(self) -> None:
        self.has_read, self.goes_on, self.has_committed = (anyio.Event() for _ in range(3))

    async def at(self, step: Step) -> None:
        if step is Step.SLICE_READ:
            self.has_read.set()
            await self.goes_on.wait()
        elif step is Step.COMMITTED:
            self.has_committed.set()
        if step in (Step.BEAT_DUE, Step.COMMITTED):
            await anyio.sleep_forever()


async def test_what_an_older_one_ends_at_the_last_moment_is_not_said_again(
    tmp_path: Path, broker: AnyBroker, new_topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older relay, stopped for longer than its lease, publishes just before the newer one's
    producer fences it off: the newer one goes on from the position that this has moved."""
    topic, older = await new_topic("said", partitions=1), Oversleeping()
    start = AIOKafkaProducer.start

    async def at_the_last_moment(producer: AIOKafkaProducer) -> None:
        if older.has_read.is_set() and producer._txn_manager.transactional_id is not None:
            older.goes_on.set()
            await older.has_committed.wait()
        await start(producer)

    monkeypatch.setattr(AIOKafkaProducer, "start", at_the_last_moment)
    async with opened(tmp_path / "outbox.db") as database, anyio.create_task_group() as tasks:
        await say(database, messages(topic, 0, 20))
        tasks.start_soon(relay_of(database, broker.bootstrap_servers, "older", older.at).run)
        await older.has_read.wait()
        async with relaying(database, broker.bootstrap_servers):
            await drained(database)
        tasks.cancel_scope.cancel()
    monkeypatch.undo()

    assert older.has_committed.is_set()
    assert list(await read(broker.bootstrap_servers, topic)) == messages(topic, 0, 20)


async def _run_within(relay: KafkaRelay, scope: anyio.CancelScope) -> None:
    with scope:
        await relay.run()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("harm", ["paused", "killed"])
async def test_rows_survive_a_broker_that_is_away(
    tmp_path: Path, own_broker: KafkaBroker, new_topic: NewTopic, harm: str
) -> None:
    """While the broker is away rows queue and the reason is told; then each arrives once."""
    topic = await new_topic("said", partitions=1)
    async with (
        opened(tmp_path / "outbox.db") as database,
        relaying(database, own_broker.bootstrap_servers) as relay,
    ):
        await say(database, messages(topic, 0, 500))
        if harm == "paused":
            own_broker.pause()
        else:
            await anyio.to_thread.run_sync(own_broker.kill)
        await say(database, messages(topic, 500, 500))
        await eventually(lambda: _troubles(relay), lambda told: len(told) == 1, 30)
        if harm == "paused":
            own_broker.resume()
        else:
            await anyio.to_thread.run_sync(own_broker.start)
        await drained(database, 30)
        await say(database, messages(topic, 1_000, 5))
        await drained(database, 30)

    assert list(await read(own_broker.bootstrap_servers, topic)) == messages(topic, 0, 1_005)
