"""What every test may use."""

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.kafka_fixtures"]

# How fast an example is made or runs says nothing of what must hold: on a new clone the first text
# alone takes seconds, in which hypothesis works out its table of characters.
settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the program does."""
    return "asyncio"
