"""What every test may use."""

import pytest

pytest_plugins = ["tests.support.kafka_fixtures"]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the program does."""
    return "asyncio"
