"""The life of a producer of the library: started and closed in bounded time, and never half."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

import anyio
from aiokafka import AIOKafkaProducer

from huleedu.core.message import Message
from huleedu.transport.failures import pause_seconds
from huleedu.transport.kafka.closing import has_stopped
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.deadlines import within
from huleedu.transport.kafka.record import header_pairs

START_SECONDS = 10.0
CLOSE_SECONDS = 3.0
REQUEST_TIMEOUT_MS = 10_000
"""Longer than our own deadlines: what is not answered is given up by us, not sent again."""
BATCH_BYTES = 256 * 1024
REQUEST_BYTES_MAX = 1_048_576
RETRY_SECONDS_MAX = 1.0
"""The longest pause before a new producer.  Rows are to flow within 5 s of a broker's return, and
after it was killed the broker itself takes about 3 s to know transactions again."""


def retry_seconds(failures: int, random: Random) -> float:
    """Return how long to wait before the next producer after so many failures in a row."""
    return min(RETRY_SECONDS_MAX, pause_seconds(failures, random))


async def started(connection: KafkaConnection, **options: Any) -> AIOKafkaProducer:
    """Return a new idempotent producer that has started; ``options`` are the library's own.

    Raises ``BrokerUnavailable`` after ``START_SECONDS`` at the latest; nothing of it is left then.
    """
    producer = AIOKafkaProducer(
        **connection.client_options(),
        enable_idempotence=True,
        acks="all",
        max_batch_size=BATCH_BYTES,
        max_request_size=REQUEST_BYTES_MAX,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        **options,
    )
    sound = False
    try:
        with within(START_SECONDS, "starting a producer"):
            await producer.start()
        sound = True
        return producer
    finally:
        if not sound:
            await closed(producer)


async def closed(producer: AIOKafkaProducer, *, flushing: bool = True) -> None:
    """Close the producer, whatever state it is in, in about ``CLOSE_SECONDS`` at most.

    Without ``flushing`` it sends nothing any more.
    """
    with anyio.CancelScope(shield=True):
        if not flushing:
            await _stop_sending(producer)
            _forget_unsent(producer)
        if await has_stopped(producer.stop(), CLOSE_SECONDS):
            return
        # The library's stop waits for batches that a broker does not take, and leaves its
        # connections open when its sending task failed.
        await _stop_sending(producer)
        _forget_unsent(producer)
        await has_stopped(producer.client.close(), 1.0)


def _forget_unsent(producer: AIOKafkaProducer) -> None:
    """Have nobody wait for what was not sent."""
    unsent = producer._message_accumulator
    batches = [*itertools.chain(*unsent._batches.values()), *unsent._pending_batches]
    unsent._pending_batches.update(batches)  # from where their callbacks take them
    futures = [future for one in batches for future in (one.future, one._drain_waiter)]
    if (transactions := producer._txn_manager) is not None:
        futures.append(transactions._transaction_waiter)
    for future in futures:
        if future is not None and not future.cancel() and not future.cancelled():
            future.exception()  # or Python complains that nobody has looked at it


async def _stop_sending(producer: AIOKafkaProducer) -> None:
    sending = producer._sender.sender_task
    with anyio.move_on_after(1.0):
        if sending is not None and not sending.done():
            sending.cancel()
            await asyncio.wait([sending])


async def _nothing() -> None:
    """Do nothing between two messages."""


async def send_all(
    producer: AIOKafkaProducer,
    messages: Sequence[Message],
    after_each: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Send in this order and return when the broker has all; to be called under a deadline.

    ``after_each`` is awaited when a message is handed over.  Raises the library's errors.
    """
    acknowledgements: list[asyncio.Future[object]] = []
    try:
        for message in messages:
            acknowledgements.append(
                await producer.send(
                    message.topic, message.value, message.key, headers=header_pairs(message)
                )
            )
            await after_each()
        await asyncio.gather(*acknowledgements)
    finally:
        for acknowledgement in acknowledgements:
            acknowledgement.cancel()  # nobody waits for the rest any more
