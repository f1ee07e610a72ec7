"""Every row with small numbers in each test run; ``make faults`` runs them in full."""

import random
from pathlib import Path

import pytest

from tests.faults.ground import Ground
from tests.faults.rows import ROWS, Row
from tests.support.kafka_broker import KafkaBroker


@pytest.mark.anyio
@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", ROWS, ids=[f"row-{row.name}" for row in ROWS])
async def test_what_is_promised_holds(
    row: Row, own_broker: KafkaBroker, tmp_path: Path, anyio_backend: str
) -> None:
    """Nothing is broken after the row's faults, on a small scale."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201

    outcome = await row.sample(Ground(own_broker, tmp_path, random.Random(seed)))

    assert outcome.broken == [], f"seed {seed}"
