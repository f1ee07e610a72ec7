"""A consumer is ready when the group has given it its part, be it none, and not before."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from huleedu.transport.protocol import Transport
from tests.support.consumers import Recorder
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.bus import group, until
from tests.transport.kafka.bus import KafkaBus

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]
NOT_JOINED = ["g has not joined yet"]


@pytest.fixture
async def bus(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path, partitions=1)
    await bus.open()
    yield bus
    await bus.close()


async def troubles_until_ready(transport: Transport) -> Sequence[Sequence[str]]:
    """Return every different answer, in order, up to the first that is empty."""
    seen: list[Sequence[str]] = []

    def is_ready() -> bool:
        told = transport.troubles()
        if not seen or seen[-1] != told:
            seen.append(told)
        return not told

    await until(is_ready)
    return seen


async def test_readiness_waits_for_the_first_assignment(bus: KafkaBus) -> None:
    """Until the group has let it in a consumer says so, also one that is given no partition."""
    async with bus.running([group("g", Recorder())]) as first:
        assert await troubles_until_ready(first) == [NOT_JOINED, []]
        async with bus.running([group("g", Recorder())]) as second:
            assert (await troubles_until_ready(second))[0] == NOT_JOINED

            def held() -> list[int]:
                return [len(one._groups["g"]._membership.assigned) for one in (first, second)]

            await until(lambda: sorted(held()) == [0, 1] and not second.troubles())
