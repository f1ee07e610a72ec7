"""The end of a client of the library, in bounded time."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import anyio
from aiokafka.errors import KafkaError

from huleedu.core.logging import create_service_logger

_AFTER_CANCEL_SECONDS = 1.0

_logger = create_service_logger("kafka")


async def has_stopped(stop: Coroutine[Any, Any, None], seconds: float) -> bool:
    """Run the library's ``stop`` to its end, or cancel it; return whether it came to its end.

    In a task of its own: while the broker is away the library's ends half-way, with the
    cancellation of one of its own tasks.  Ours it would end, too.
    """
    stopping = asyncio.ensure_future(stop)
    with anyio.CancelScope(shield=True):
        await asyncio.wait([stopping], timeout=seconds)
        if not stopping.done():
            stopping.cancel()
            await asyncio.wait([stopping], timeout=_AFTER_CANCEL_SECONDS)
    if not stopping.done() or stopping.cancelled():
        return False
    if (error := stopping.exception()) is None:
        return True
    # One of its tasks had failed already; whatever of, this client is at its end.
    level = logging.DEBUG if isinstance(error, KafkaError) else logging.ERROR
    _logger.log(level, "client_failed_while_closing", error=repr(error))
    return False
