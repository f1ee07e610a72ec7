"""Making the topics of a deployment on a real broker, and seeing how far its groups have come."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

import anyio
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from huleedu.core.clock import SystemClock
from huleedu.core.enums import ProcessingEvent
from huleedu.core.errors import BrokerUnavailable, Misconfigured
from huleedu.core.settings import KafkaSettings, Settings
from huleedu.core.topics import TOPICS
from huleedu.transport.kafka import lag
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.retention import DAY_MS
from huleedu.transport.kafka.topics import Outcome, bootstrap, contract_topics, with_dead_letters
from tests.support.eventually import eventually
from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_fixtures import AnyBroker, NewTopic

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

NOBODY = "127.0.0.1:1"
QUICK = KafkaSettings(connect_max_retries=2, connect_retry_delay=0.1)


@dataclass
class Heard:
    """What was reported."""

    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def topic(self, name: str, outcome: Outcome) -> None:
        self.outcomes.append((name, outcome))

    def waiting(self, why: str, seconds: float) -> None:
        assert why
        self.waits.append(seconds)


@pytest.fixture
def connection(broker: AnyBroker) -> KafkaConnection:
    return KafkaConnection.from_settings(QUICK, broker.bootstrap_servers, "topics")


@pytest.fixture
def names(topic_prefix: str) -> list[str]:
    """The topics of the contract, renamed for this test, each with its dead letters."""
    return with_dead_letters(topic_prefix + topic.name for topic in TOPICS.values())


async def made(
    connection: KafkaConnection, names: list[str], settings: KafkaSettings = QUICK
) -> list[tuple[str, Outcome]]:
    heard = Heard()
    await bootstrap(connection, settings, heard, SystemClock(), names)
    return heard.outcomes


async def partitions(connection: KafkaConnection, names: list[str]) -> set[int | None]:
    return {one.partitions for one in await lag.list_topics(connection, [], SystemClock(), names)}


# --- bootstrap ---


def test_every_event_has_a_topic_and_dead_letters() -> None:
    """Bootstrap is about every mapped topic and its .dlq, and nothing else."""
    mapped = {topic.name for topic in TOPICS.values()}

    assert set(contract_topics()) == mapped | {f"{name}.dlq" for name in mapped}


async def test_topics_are_made_once(connection: KafkaConnection, names: list[str]) -> None:
    """The first run says created for each topic, the second already exists."""
    first = await made(connection, names)
    second = await made(connection, names)

    assert sorted(first) == sorted((name, "created") for name in names)
    assert sorted(second) == sorted((name, "already exists") for name in names)
    assert await partitions(connection, names) == {QUICK.default_partitions}


async def test_what_is_missing_is_added(connection: KafkaConnection, names: list[str]) -> None:
    """A topic that a newer release brings is made beside those that are there."""
    await made(connection, names[:-1])

    assert Counter(outcome for _, outcome in await made(connection, names)) == {
        "created": 1,
        "already exists": len(names) - 1,
    }


async def test_two_at_once_make_each_topic_once(
    connection: KafkaConnection, names: list[str]
) -> None:
    """Whoever comes second finds the topic there; neither fails."""
    heard: list[tuple[str, Outcome]] = []

    async def one() -> None:
        heard.extend(await made(connection, names))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(one)

    assert Counter(name for name, _ in heard) == dict.fromkeys(names, 4)
    assert Counter(name for name, what in heard if what == "created") == dict.fromkeys(names, 1)


async def test_too_few_partitions_are_told(
    connection: KafkaConnection, names: list[str], new_topic: NewTopic, topic_prefix: str
) -> None:
    """Topics with fewer partitions than configured are named with both numbers; others are made."""
    small = [name.removeprefix(topic_prefix) for name in names[:2]]
    await new_topic(small[0], partitions=1)
    await new_topic(small[1], partitions=2)
    heard = Heard()

    with pytest.raises(Misconfigured) as complaint:
        await bootstrap(connection, QUICK, heard, SystemClock(), names)

    assert f"topic {names[0]} has 1, configured are 3" in str(complaint.value)
    assert f"topic {names[1]} has 2, configured are 3" in str(complaint.value)
    assert names[2] not in str(complaint.value)
    assert Counter(outcome for _, outcome in heard.outcomes)["created"] == len(names) - 2


async def test_more_partitions_are_fine(
    connection: KafkaConnection, names: list[str], new_topic: NewTopic, topic_prefix: str
) -> None:
    """An operator may have given a topic more partitions."""
    await new_topic(names[0].removeprefix(topic_prefix), partitions=5)

    assert len(await made(connection, names)) == len(names)


async def test_what_the_broker_refuses_is_told(
    connection: KafkaConnection, names: list[str]
) -> None:
    """More copies than there are brokers: the operator reads the broker's own reason, at once."""
    settings = KafkaSettings(default_replication_factor=30_000)

    with pytest.raises(Misconfigured, match=r"registered|larger than|brokers"):
        await made(connection, names, settings)


async def test_a_broker_that_is_away_is_tried_again_and_then_told() -> None:
    """After the configured retries, so many seconds apart, it gives up and names the address."""
    heard = Heard()
    connection = KafkaConnection.from_settings(QUICK, NOBODY, "topics")

    with anyio.fail_after(20), pytest.raises(BrokerUnavailable, match=f"{NOBODY}.*tried 3 times"):
        await bootstrap(connection, QUICK, heard, SystemClock())

    assert heard.waits == [QUICK.connect_retry_delay] * QUICK.connect_max_retries


async def test_a_broker_that_comes_late_is_waited_for(
    own_broker: KafkaBroker, connection: KafkaConnection, names: list[str]
) -> None:
    """Topics and broker may start together: bootstrap is done when the broker is there."""
    patient = KafkaSettings(connect_max_retries=500, connect_retry_delay=0.1)
    heard = Heard()
    own_broker.kill()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, own_broker.start)
        await bootstrap(connection, patient, heard, SystemClock(), names)

    assert heard.waits
    assert sorted(heard.outcomes) == sorted((name, "created") for name in names)


async def test_a_broker_that_is_frozen_is_not_waited_for_without_end(
    own_broker: KafkaBroker, connection: KafkaConnection, names: list[str]
) -> None:
    """A broker that takes connections and does not answer is as one that is away."""
    impatient = KafkaSettings(connect_max_retries=0)
    own_broker.pause()

    with anyio.fail_after(20), pytest.raises(BrokerUnavailable):
        await bootstrap(connection, impatient, Heard(), SystemClock(), names)

    own_broker.resume()

    async def again() -> bool:
        try:
            await bootstrap(connection, impatient, Heard(), SystemClock(), names)
        except BrokerUnavailable:
            return False
        return True

    await eventually(again, bool)


# --- list ---


async def test_lag_is_what_a_group_has_before_it(
    connection: KafkaConnection, new_topic: NewTopic, topic_prefix: str
) -> None:
    """Lag counts over all partitions, from the start of the log where nothing is committed."""
    topic = await new_topic("words", partitions=2)
    silent = topic_prefix + "silent"
    group = topic_prefix + "group"
    producer = AIOKafkaProducer(**connection.client_options())
    await producer.start()
    for partition in (0, 0, 0, 1, 1):
        await producer.send_and_wait(topic, b"word", partition=partition)
    await producer.stop()
    consumer = AIOKafkaConsumer(
        group_id=group, enable_auto_commit=False, **connection.client_options()
    )
    await consumer.start()
    part = TopicPartition(topic, 0)
    consumer.assign([part])
    await consumer.commit({part: 2})
    await consumer.stop()

    (state,) = await lag.list_topics(connection, [group, silent], SystemClock(), [topic])

    assert (state.topic, state.partitions) == (topic, 2)
    assert state.lag == {group: (3 - 2) + 2}


async def test_a_topic_that_is_not_there_is_told(
    connection: KafkaConnection, topic_prefix: str
) -> None:
    """Listing makes no topic; one that is missing has no partitions."""
    missing = [topic_prefix + "none"]

    for _ in range(2):
        assert await partitions(connection, missing) == {None}


async def test_a_listing_of_a_broker_that_is_away_fails() -> None:
    """Without a broker there is no list, rather than an empty one."""
    connection = KafkaConnection.from_settings(QUICK, NOBODY, "topics")

    with pytest.raises(BrokerUnavailable, match=NOBODY):
        await lag.list_topics(connection, [], SystemClock())


def test_the_groups_are_those_of_the_contract() -> None:
    """Lag is asked for every group that the settings name."""
    assert set(lag.known_groups(Settings())) == {
        "essay-lifecycle-service-group-v1.0",
        "batch-orchestrator-service-group-v1.0",
        "spellchecker-service-group-v1.1",
        "file-service-group-v1.0",
        "results-service-group-v1.0",
    }


# --- the commands ---


def run(
    servers: str, prefix: str, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """``huleedu topics …`` as a process of its own, on topics of this test."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HULEEDU_", "KAFKA_"))}
    environment |= {
        f"KAFKA_TOPIC_{event.name}": prefix + TOPICS[event].name
        for event in ProcessingEvent
        if event in TOPICS
    }
    environment |= {"KAFKA_BOOTSTRAP_SERVERS": servers} | more
    return subprocess.run(
        [sys.executable, "-m", "huleedu", "topics", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.slow
def test_the_commands_make_and_show_the_topics(
    broker: AnyBroker, topic_prefix: str, names: list[str]
) -> None:
    """``topics bootstrap`` says what it did to each topic; ``topics list`` shows each."""
    servers = broker.bootstrap_servers
    missing = run(servers, topic_prefix, "list")
    first = run(servers, topic_prefix, "bootstrap")
    second = run(servers, topic_prefix, "bootstrap", "--json")
    listed = run(servers, topic_prefix, "list", "--json")

    assert "24 of 24 topics are not there" in missing.stderr
    assert sorted(first.stdout.splitlines()) == sorted(f"{name}: created" for name in names)
    assert json.loads(second.stdout) == dict.fromkeys(names, "already exists")
    shown = json.loads(listed.stdout)
    kept = {one["topic"]: one.pop("retention_ms") for one in shown}
    assert shown == [{"topic": name, "partitions": 3, "lag": {}} for name in names]
    assert {kept[name] for name in names if name.endswith(".dlq")} == {365 * DAY_MS}
    assert [ran.returncode for ran in (missing, first, second, listed)] == [0, 0, 0, 0]


@pytest.mark.slow
def test_the_commands_say_what_is_too_little(broker: AnyBroker, topic_prefix: str) -> None:
    """Exit code 2: the operator has to do something, about partitions and kept dead letters."""
    servers = broker.bootstrap_servers
    more = {"KAFKA_DEFAULT_PARTITIONS": "6", "KAFKA_DEAD_LETTER_RETENTION_DAYS": "400"}
    run(servers, topic_prefix, "bootstrap")
    ran = run(servers, topic_prefix, "bootstrap", **more)
    listed = run(servers, topic_prefix, "list", **more)

    assert (ran.returncode, listed.returncode) == (2, 0)
    assert "huleedu.batch.cancelled.v1 has 3, configured are 6" in ran.stderr
    for told in (ran.stderr, listed.stderr):
        assert "v1.dlq keeps dead letters for 365 days, configured are 400 days" in told
        assert f"retention.ms={400 * DAY_MS}" in told


@pytest.mark.slow
def test_the_command_says_that_the_broker_is_away(topic_prefix: str) -> None:
    """Exit code 75, which means: try again later."""
    few = {"KAFKA_CONNECT_MAX_RETRIES": "2", "KAFKA_CONNECT_RETRY_DELAY": "0.1"}
    ran = run(NOBODY, topic_prefix, "bootstrap", **few)

    assert ran.returncode == 75
    assert ran.stdout == ""
    assert "tried 3 times" in ran.stderr
    assert "Traceback" not in ran.stderr
