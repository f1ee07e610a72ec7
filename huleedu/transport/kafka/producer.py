"""Publishing for a role without a store: a message is said when the broker has acknowledged it."""

from collections.abc import Sequence

import anyio
from aiokafka import AIOKafkaProducer

from huleedu.core.errors import BrokerUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.deadlines import within
from huleedu.transport.kafka.producing import closed, retry_seconds, send_all, started
from huleedu.transport.kafka.record import (
    RECORD_BYTES_MAX,
    check_size,
    cut,
    is_dead_letter,
    record_bytes,
)

PUBLISH_SECONDS = 10.0


class IdempotentPublisher:
    """One producer, shared by all who publish at once, and replaced whenever it fails.

    After one batch that the broker refused, the library numbers all later ones wrongly
    (aiokafka#1017), so that no producer is used again after any failure.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        platform: Platform,
        publish_seconds: float = PUBLISH_SECONDS,
    ) -> None:
        self._connection = connection
        self._platform = platform
        self._publish_seconds = publish_seconds
        self._producer: AIOKafkaProducer | None = None
        self._starting = anyio.Lock()
        self._failures = 0
        self._not_before = 0.0
        self._trouble: str | None = None
        self._logger = create_service_logger("publisher")

    async def start(self) -> None:
        """Return once a producer has started, trying again with growing pauses until then."""
        while True:
            try:
                await self._usable()
            except BrokerUnavailable:
                now = self._platform.clock.monotonic()
                await self._platform.clock.sleep(max(0.0, self._not_before - now))
            else:
                return

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return when every replica in sync has all messages, in this order for each partition.

        Raises ``TooLarge`` before anything is sent (a dead letter is cut to size instead), and
        ``BrokerUnavailable`` when the outcome of any of them is unknown: publish again, under the
        same event ids.
        """
        fitting = [_fitting(message) for message in messages]
        producer = await self._usable()
        try:
            with within(self._publish_seconds, "publishing"):
                await send_all(producer, fitting)
        except BrokerUnavailable as fault:
            self._note_failure(fault)
            await self._discard(producer)
            raise
        self._failures = 0
        self._trouble = None

    async def close(self) -> None:
        """Close the producer in bounded time; what is not acknowledged by then has failed."""
        if self._producer is not None:
            await self._discard(self._producer)

    def troubles(self) -> Sequence[str]:
        """Return why nothing can be published, if so."""
        return [] if self._trouble is None else [self._trouble]

    async def _usable(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                if self._platform.clock.monotonic() < self._not_before:
                    raise BrokerUnavailable(
                        f"the broker was not reached a moment ago: {self._trouble}"
                    )
                try:
                    self._producer = await started(self._connection)
                except BrokerUnavailable as fault:
                    self._note_failure(fault)
                    raise
            return self._producer

    def _note_failure(self, fault: BrokerUnavailable) -> None:
        self._failures += 1
        pause = retry_seconds(self._failures, self._platform.random)
        self._not_before = self._platform.clock.monotonic() + pause
        self._trouble = f"publishing: {fault}"
        self._logger.warning("publish_failed", attempt=self._failures, error=str(fault))

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
        await closed(producer)


def _fitting(message: Message) -> Message:
    if is_dead_letter(message) and record_bytes(message) > RECORD_BYTES_MAX:
        return cut(message)
    check_size(message)
    return message
