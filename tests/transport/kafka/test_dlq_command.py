"""``huleedu dlq`` on a real broker."""

import json
import uuid

import anyio
import pytest

from huleedu.core.errors import Conflict
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.core.settings import Settings
from huleedu.transport.failures import dead_letter, dead_letter_cause
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.producer import IdempotentPublisher
from tests.cli.program import Ran, run
from tests.support.builders import registered
from tests.support.kafka_broker import ForeignBroker, KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

GROUP = str(Settings().els.consumer_group)


@pytest.fixture
def servers(broker: KafkaBroker | ForeignBroker) -> str:
    ran = run("topics", "bootstrap", "--kafka-bootstrap-servers", broker.bootstrap_servers)
    assert ran.code == 0, ran.err
    return broker.bootstrap_servers


def publish(servers: str, letters: list[Message]) -> None:
    async def work() -> None:
        publisher = IdempotentPublisher(KafkaConnection(servers), Platform())
        await publisher.start()
        try:
            await publisher.publish(letters)
        finally:
            await publisher.close()

    anyio.run(work)


def test_dead_letters_on_a_broker_are_listed_shown_and_settled(servers: str) -> None:
    """What waits is listed; shown, it tells its cause; replayed or discarded, it is listed as
    settled and waits no more."""
    batch = f"b-{uuid.uuid4().hex}"
    now = Platform().clock.now()
    letters = []
    for number in range(3):
        message = registered(batch, [f"e{number}"])
        cause = dead_letter_cause(Conflict("against the rule"), message, GROUP, 1, now)
        letters.append(dead_letter(message, cause))
    publish(servers, letters)

    def dlq(*arguments: object) -> Ran:
        where = ("--transport", "kafka", "--kafka-bootstrap-servers", servers)
        return run("dlq", *arguments, *where)

    listed = json.loads(dlq("list", "--batch", batch, "--json").out)
    shown = dlq("show", listed[1]["id"])
    planned = dlq("replay", "--batch", batch, "--limit", 2, "--dry-run")
    replayed = dlq("replay", "--batch", batch, "--limit", 2)
    discarded = dlq("discard", "--batch", batch, "--yes")
    left = json.loads(dlq("list", "--batch", batch, "--json").out)
    settled = json.loads(dlq("list", "--batch", batch, "--settled", "--json").out)

    assert [one["state"] for one in listed] == ["waiting"] * 3
    assert "against the rule" in shown.out
    assert "2 would be replayed" in planned.err
    assert (replayed.code, replayed.out) == (0, "replayed: 2\n")
    assert (discarded.code, discarded.out) == (0, "discarded: 1\n")
    assert left == []
    assert [one["id"] for one in settled] == [one["id"] for one in listed]
    assert {one["state"] for one in settled} == {"settled"}
    assert dlq("show", "nonsense/0/1").code == 1
    assert dlq("list", "--topic", "nonsense").code == 1
