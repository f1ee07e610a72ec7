"""What the tests of the transport share."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Failures are meant here: their tracebacks need not be drawn."""
    with structlog.testing.capture_logs():
        yield
