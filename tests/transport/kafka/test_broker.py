"""The broker of the tests: it is real, it can be hurt, and it leaves nothing behind."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.support.eventually import eventually
from tests.support.kafka_broker import BrokerFailed, KafkaBroker, answers
from tests.support.kafka_fixtures import AnyBroker, NewTopic
from tests.support.kafka_jars import KafkaMissing

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

_OWNER = """
import pathlib, sys, time
from tests.support.kafka_broker import KafkaBroker
broker = KafkaBroker(pathlib.Path(sys.argv[1]))
broker.start()
print(broker.pid, flush=True)
time.sleep(600)
"""


async def send(bootstrap_servers: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    try:
        with anyio.fail_after(20):
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def first_value(bootstrap_servers: str, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        with anyio.fail_after(20):
            value: bytes | None = (await consumer.getone()).value
            return value
    finally:
        await consumer.stop()


async def test_what_is_sent_can_be_read(broker: AnyBroker, new_topic: NewTopic) -> None:
    """A message sent to a new topic is read from it."""
    topic = await new_topic("words", partitions=1)
    await send(broker.bootstrap_servers, topic, b"essay")
    assert await first_value(broker.bootstrap_servers, topic) == b"essay"


async def test_a_killed_broker_comes_back_with_its_data(
    own_broker: KafkaBroker, new_topic: NewTopic
) -> None:
    """After SIGKILL nothing answers; started again it has the same address and messages."""
    topic = await new_topic("words", partitions=1)
    await send(own_broker.bootstrap_servers, topic, b"essay")
    own_broker.kill()
    assert not await answers(own_broker.bootstrap_servers)
    await anyio.to_thread.run_sync(own_broker.start)
    assert await first_value(own_broker.bootstrap_servers, topic) == b"essay"


async def test_a_paused_broker_is_silent_until_resumed(own_broker: KafkaBroker) -> None:
    """A frozen broker accepts connections and answers nobody; resumed, it answers again."""
    own_broker.pause()
    assert not await answers(own_broker.bootstrap_servers, seconds=1.0)
    own_broker.resume()
    await eventually(lambda: answers(own_broker.bootstrap_servers), bool)


async def test_a_stopped_broker_can_be_started_again(own_broker: KafkaBroker) -> None:
    """An orderly stop ends the process; start brings it back, and twice is as once."""
    await anyio.to_thread.run_sync(own_broker.stop)
    assert not own_broker.is_running
    await anyio.to_thread.run_sync(own_broker.start)
    first = own_broker.pid
    await anyio.to_thread.run_sync(own_broker.start)
    assert own_broker.pid == first


@pytest.mark.slow
def test_no_broker_outlives_its_owner(own_broker: KafkaBroker, tmp_path: Path) -> None:
    """When the process that started a broker is killed, even a frozen broker ends."""
    command = [sys.executable, "-c", _OWNER, str(tmp_path / "kafka")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            broker_pid = int(owner.stdout.readline())
            descriptor = os.pidfd_open(broker_pid)
            os.kill(broker_pid, signal.SIGSTOP)
        finally:
            owner.kill()
    try:
        ended, _, _ = select.select([descriptor], [], [], 20.0)
        assert ended
    finally:
        os.close(descriptor)


def test_a_broker_that_cannot_start_says_why(own_broker: KafkaBroker, tmp_path: Path) -> None:
    """The end of the broker's own log is in the error when it does not come up."""
    other = KafkaBroker(tmp_path / "kafka")
    with (
        socket.create_server(("127.0.0.1", other.controller_port)),
        pytest.raises(BrokerFailed, match="Address already in use"),
    ):
        other.start()
    assert not other.is_running


def test_two_brokers_do_not_share_a_port(tmp_path: Path) -> None:
    """A program that listens at the broker's port is not taken for the broker."""
    other = KafkaBroker(tmp_path / "kafka")
    with (
        socket.create_server(("127.0.0.1", other.port)),
        pytest.raises(BrokerFailed, match="another program"),
    ):
        other.start()


def test_without_java_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without java a broker of our own is refused with the word java."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaMissing, match="java"):
        KafkaBroker(tmp_path / "kafka").start()
