"""What is requested of a cancelled batch is dropped, over a real broker too."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.spellcheck.dropping import REQUESTED, RESULT, DroppingConformance
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.kafka.bus import TOPICS, KafkaBus

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path, topics=(*TOPICS, REQUESTED, RESULT))
    await bus.open()
    yield bus
    await bus.close()


class TestKafka(DroppingConformance):
    """The suite, bound to Kafka."""
