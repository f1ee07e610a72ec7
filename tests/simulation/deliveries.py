"""Deliveries that come late, twice, or whose acknowledgement is lost, on any transport."""

import dataclasses
import sqlite3
from collections.abc import Callable, Mapping, Sequence

import anyio

from huleedu.core.errors import BrokerUnavailable
from huleedu.core.message import Message
from huleedu.store.database import Database
from huleedu.transport.failures import PAUSE_FIRST_SECONDS, PAUSE_MAX_SECONDS
from huleedu.transport.protocol import Consumer, Delivery, Subscription, Transport
from tests.simulation.effects import Effect, Taken
from tests.simulation.faults import Fault, Faults
from tests.simulation.history import History, short_topic
from tests.simulation.stores import SimulatedConnection

TOLERANCE_SECONDS = 1e-6
DELAY_SECONDS_MAX = 1.5
JUMPED_SECONDS = 0.5
"""So long house may be kept before what was handled comes again."""


class ObservedProgress:
    """Progress that tells which delivery it is whose effects follow in this transaction."""

    def __init__(self, delivery: Delivery) -> None:
        self._progress = delivery.progress
        self._taken = tuple(Taken.of(delivery.group, one) for one in delivery.messages)

    def advance(self, connection: sqlite3.Connection) -> Sequence[Message]:
        assert isinstance(connection, SimulatedConnection)
        connection.begin_effect(Effect(self._taken))
        return self._progress.advance(connection)


class UnreliableConsumer:
    """A consumer between whom and the transport things go wrong."""

    def __init__(
        self,
        consumer: Consumer,
        faults: Faults,
        history: History,
        process: str,
        hasty: Callable[[Delivery], None],
        handled: Callable[[Delivery], None],
        meet: Callable[[Delivery], Delivery],
        jump_days: Callable[[], None],
    ) -> None:
        self._consumer = consumer
        self._faults = faults
        self._history = history
        self._process = process
        self._hasty = hasty
        self._handled = handled
        self._meet = meet
        self._jump_days = jump_days
        self._failed_at: dict[tuple[str, str], float] = {}

    async def handle(self, delivery: Delivery) -> None:
        first = delivery.messages[0]
        self._check_pause(delivery)
        delivery = dataclasses.replace(delivery, progress=ObservedProgress(delivery))
        try:
            await self._handle(delivery)
        except Exception:
            self._failed_at[first.topic, first.event_id] = anyio.current_time()
            raise

    def _check_pause(self, delivery: Delivery) -> None:
        first = delivery.messages[0]
        failed_at = self._failed_at.get((first.topic, first.event_id))
        # Over a broker the second attempt, after one in company, comes at once: it is not known
        # who is at fault.
        unpaused = 1 if first.offset is None else 2
        if failed_at is None or delivery.attempt <= unpaused:
            return
        least = PAUSE_FIRST_SECONDS / 2 * 2.0 ** (min(delivery.attempt, 8) - unpaused - 1)
        least = min(least, PAUSE_MAX_SECONDS / 2)
        if anyio.current_time() - failed_at < least - TOLERANCE_SECONDS:
            self._hasty(delivery)

    async def _handle(self, delivery: Delivery) -> None:
        faults = self._faults
        first = delivery.messages[0]
        delivery = self._meet(delivery)
        about = f"{len(delivery.messages)} of {short_topic(first.topic)}"
        if faults.strikes(Fault.FAILED_HANDLER):
            self._tell(f"handler fails, {about}")
            raise BrokerUnavailable("simulated: the handler failed")
        if faults.strikes(Fault.DELAY):
            seconds = faults.between(0.0, DELAY_SECONDS_MAX)
            self._tell(f"{about} delayed by {seconds:.3f} s")
            await anyio.sleep(seconds)
        await self._consumer.handle(delivery)
        self._handled(delivery)
        if faults.strikes(Fault.MONTH_PASSED):
            self._jump_days()
            await anyio.sleep(JUMPED_SECONDS)
            raise BrokerUnavailable("simulated: the acknowledgement is lost")
        if faults.strikes(Fault.DUPLICATE):
            self._tell(f"{about} delivered twice")
            await self._consumer.handle(dataclasses.replace(delivery, attempt=delivery.attempt + 1))
        if faults.strikes(Fault.LOST_ACKNOWLEDGEMENT):
            self._tell(f"acknowledgement lost, {about}")
            raise BrokerUnavailable("simulated: the acknowledgement is lost")

    async def set_aside(self, delivery: Delivery, cause: Mapping[str, str]) -> None:
        self._meet(delivery)
        delivery = dataclasses.replace(delivery, progress=ObservedProgress(delivery))
        await self._consumer.set_aside(delivery, cause)
        self._handled(delivery)

    def _tell(self, text: str) -> None:
        self._history.tell(self._process, text)


class ObservedTransport:
    """A transport whose deliveries go wrong by the seed; what is published is heard of."""

    def __init__(
        self,
        transport: Transport,
        unreliable: Callable[[Consumer], Consumer],
        published: Callable[[Message], None],
        heard: Callable[[Subscription], None],
    ) -> None:
        self._transport = transport
        self._unreliable = unreliable
        self._published = published
        self._heard = heard

    def subscribe(self, subscription: Subscription) -> None:
        consumer = self._unreliable(subscription.consumer)
        self._heard(subscription)
        self._transport.subscribe(dataclasses.replace(subscription, consumer=consumer))

    def relay(self, database: Database) -> None:
        self._transport.relay(database)

    async def publish(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._published(message)
        await self._transport.publish(messages)

    async def run(self) -> None:
        await self._transport.run()

    def troubles(self) -> Sequence[str]:
        return self._transport.troubles()

    def held_up(self) -> Sequence[str]:
        return self._transport.held_up()

    def hears(self, group: str) -> bool:
        return self._transport.hears(group)
