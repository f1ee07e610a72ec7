"""What is requested of a cancelled batch is dropped, over a real broker too."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from huleedu.core.topics import dead_letter_topic
from tests.spellcheck.dropping import REQUESTED, RESULT, DroppingConformance
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.support.kafka_topics import create_topic, delete_topics
from tests.transport.kafka.bus import KafkaBus

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    servers = broker.bootstrap_servers
    names = [name for topic in (REQUESTED, RESULT) for name in (topic, dead_letter_topic(topic))]
    await delete_topics(servers, names)
    for name in names:
        await create_topic(servers, name, partitions=3)
    bus = KafkaBus(servers, tmp_path)
    await bus.open()
    yield bus
    await bus.close()


class TestKafka(DroppingConformance):
    """The suite, bound to Kafka."""
