"""Kafka keeps what every transport promises, on a real broker."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from huleedu.core.errors import PeerUnavailable
from huleedu.transport.consumer import StoreConsumer
from huleedu.transport.protocol import Delivery
from tests.support.consumers import Recorder, note_effects, proceed, read_effects
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.bus import Bus, group, say
from tests.transport.conformance import TransportConformance
from tests.transport.independence import WaitingKeyConformance
from tests.transport.kafka.bus import KafkaBus

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path)
    await bus.open()
    yield bus
    await bus.close()


class TestKafka(TransportConformance, WaitingKeyConformance):
    """The suite, bound to Kafka."""

    async def test_an_effect_happens_once_though_its_acknowledgement_is_lost(
        self, bus: Bus
    ) -> None:
        """A module that fails between its commit and its acknowledgement goes on from where its
        own store stands.  (An event that was said twice is the module's own to recognise.)"""
        sender, store = await bus.store("sender"), await bus.store("module")
        inner = StoreConsumer(store, note_effects, bus.platform, "module")
        failures = 0

        async def fails_after_commit(delivery: Delivery) -> None:
            nonlocal failures
            await inner.handle(delivery)
            if not failures:
                failures += 1
                raise PeerUnavailable("lost on the way back")

        said = [proceed(bus.platform, f"b{number % 3}") for number in range(9)]
        await say(sender, bus, said)
        listener = replace(group("g", Recorder(fails_after_commit)), store=store)
        async with bus.running([listener], [sender]):
            await bus.until_handled(sender)

        effects = await store.read(read_effects)
        assert failures == 1
        assert sorted(event for _, event in effects) == sorted(m.event_id for m in said)
        for batch in ("b0", "b1", "b2"):
            assert [e for b, e in effects if b == batch] == [
                m.event_id for m in said if m.key == batch.encode()
            ]
