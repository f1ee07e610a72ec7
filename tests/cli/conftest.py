"""Commands run in this process leave its logging as they found it."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logging_left_alone() -> Iterator[None]:
    """A command's log handler writes to a stream that is gone when the command is."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
