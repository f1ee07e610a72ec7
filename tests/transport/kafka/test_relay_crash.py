"""Relays of one outbox, each its own process, stopped or killed between any two steps.

The long run is ``python -m tests.transport.kafka.prove_relay --rounds N --seed S``.
"""

from pathlib import Path

import pytest

from huleedu.transport.kafka.steps import Step
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.kafka.relay_process import Plan
from tests.transport.kafka.relay_trial import trial

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.timeout(240),  # about 20 s on an idle machine of two processors
]


@pytest.mark.parametrize("action", ["stop", "kill"])
async def test_every_row_arrives_once_whatever_befalls_its_relay(
    tmp_path: Path, broker: KafkaBroker | ForeignBroker, action: str
) -> None:
    """A relay is hurt after each step in turn, another takes over, and who was stopped wakes up:
    a read_committed reader still sees every row once, those of one key in order.
    """
    async with trial(tmp_path, broker.bootstrap_servers, seed=5) as one:
        for step in Step:
            await one.round(Plan(step, action))
        seen = await one.finish()

    assert seen.said > 500
    assert seen.is_exact, str(seen)
