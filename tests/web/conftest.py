"""What the web tests share."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from huleedu.core.logging import configure_logging


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged during the test, as JSON lines."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("INFO", "json", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
