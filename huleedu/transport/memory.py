"""The embedded bus: groups, order per key, redelivery, bounded queues, durable dead letters.

What is published is a row in some outbox, on disk once; each group has a place of its own in it
(see ``relay``), so that one that is stopped, slow or away holds up nobody else.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import anyio

from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.core.topics import dead_letter_topic
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.transport.dead_letters import DEAD_LETTER_GROUP, DeadLetterKeeper
from huleedu.transport.delivering import Deliverer, Fate
from huleedu.transport.event_progress import EventProgress
from huleedu.transport.failures import pause_seconds
from huleedu.transport.memory_lane import Listener
from huleedu.transport.memory_queue import Entry, TopicQueue
from huleedu.transport.protocol import Subscription
from huleedu.transport.relay import OutboxRelay

QUEUE_MESSAGES_MAX = 1_000
STOP_SECONDS_MAX = 5.0


class MemoryTransport:
    """Carries messages between the modules of one process (see ``protocol.Transport``)."""

    def __init__(
        self,
        platform: Platform,
        own: Database,
        queue_messages_max: int = QUEUE_MESSAGES_MAX,
    ) -> None:
        """``own``: the bus's store, with the dead letters and an outbox for ``publish``."""
        self._platform = platform
        self._own = own
        self._queue_messages_max = queue_messages_max
        self._keeper = DeadLetterKeeper(own, platform)
        self._listeners: dict[str, list[Listener]] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._deliverers: dict[str, Deliverer] = {}
        self._relays: list[OutboxRelay] = []
        self._in_hand: set[anyio.CancelScope] = set()
        self._stopping = False
        self.relay(own)

    def subscribe(self, subscription: Subscription) -> None:
        """Attach a group to its topics.  Raises ``ValueError`` when it is attached already."""
        if subscription.group in self._subscriptions:
            raise ValueError(f"group {subscription.group} listens already")
        self._attach(subscription)
        for topic in map(dead_letter_topic, subscription.topics):
            if not self._listens(DEAD_LETTER_GROUP, topic):
                self._attach(Subscription(DEAD_LETTER_GROUP, [topic], self._keeper))

    def relay(self, database: Database) -> None:
        """Bring what this store's outbox holds to its groups; that of the bus is relayed anyway."""
        if all(relay.database is not database for relay in self._relays):
            self._relays.append(OutboxRelay(database, self._listeners, self._platform))

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once every message is on disk; each group handles it in its own time.

        Raises ``StoreUnavailable``: then none of them is.
        """
        if messages:
            now = self._platform.clock.now()
            await self._own.write(lambda connection: outbox.add(connection, messages, now))

    async def run(self) -> None:
        """Deliver and relay until cancelled; what is in hand then has 5 s to end.

        Once: after a stop, a new transport on the same stores goes on.
        """
        try:
            async with anyio.create_task_group() as tasks:
                for listener in self._all_listeners():
                    for _ in range(self._subscriptions[listener.group].concurrency):
                        tasks.start_soon(self._work, listener)
                for relay in self._relays:
                    tasks.start_soon(relay.run)
                try:
                    await anyio.sleep_forever()
                finally:
                    self._stop()
        finally:
            # What was handled while stopping is marked too, so that it does not come again.
            with anyio.move_on_after(STOP_SECONDS_MAX, shield=True):
                for relay in self._relays:
                    await relay.mark_rest()

    def troubles(self) -> Sequence[str]:
        """Return what keeps messages from flowing."""
        deliverers = self._deliverers.values()
        return [
            # Told at once: what is in hand may still take its time to end.
            *(["the bus is stopping"] if self._stopping else ()),
            *(one.stopped for one in deliverers if one.stopped is not None),
            *(trouble for relay in self._relays for trouble in relay.troubles()),
        ]

    def held_up(self) -> Sequence[str]:
        """Return which messages wait to be tried again, while all others flow."""
        return [
            *(told for one in self._deliverers.values() for told in one.held_up()),
            *(told for relay in self._relays for told in relay.held_up()),
        ]

    def hears(self, group: str) -> bool:
        """Tell whether messages reach this group; results come through the bus's own store."""
        is_stopped = self._stopping or self._deliverers[group].stopped is not None
        return not is_stopped and not self._relays[0].troubles()

    def _stop(self) -> None:
        self._stopping = True
        for scope in self._in_hand:
            scope.deadline = anyio.current_time() + STOP_SECONDS_MAX
        for listener in self._all_listeners():
            listener.queue.close()

    def _all_listeners(self) -> Iterable[Listener]:
        return chain.from_iterable(self._listeners.values())

    def _listens(self, group: str, topic: str) -> bool:
        return any(one.group == group for one in self._listeners.get(topic, ()))

    def _attach(self, subscription: Subscription) -> None:
        group = subscription.group
        for topic in subscription.topics:
            listener = Listener(group, topic, TopicQueue(self._queue_messages_max))
            self._listeners.setdefault(topic, []).append(listener)
        if group not in self._subscriptions:
            self._subscriptions[group] = subscription
            self._deliverers[group] = Deliverer(subscription, self._platform)

    async def _work(self, listener: Listener) -> None:
        batch_max = self._subscriptions[listener.group].batch_max
        while not self._stopping:
            entries = await listener.queue.take(batch_max)
            with anyio.CancelScope(shield=True) as scope:
                self._in_hand.add(scope)
                try:
                    await self._deliver(listener, entries)
                finally:
                    self._in_hand.discard(scope)

    async def _deliver(self, listener: Listener, entries: Sequence[Entry]) -> None:
        deliverer, attempt = self._deliverers[listener.group], entries[0].attempt
        messages = [entry.message for entry in entries]
        progress = EventProgress(listener.group, messages, self._platform)
        outcome = await deliverer.deliver(deliverer.delivery(messages, attempt, progress))
        if outcome.is_done:
            for entry in entries:
                entry.origin.done(entry)
        elif outcome.fate is Fate.STOP:
            # Nothing is taken from the group's queues any more; outboxes keep what it leaves.
            for one in self._all_listeners():
                if one.group == listener.group:
                    one.queue.close()
        else:
            at = anyio.current_time() + pause_seconds(attempt, self._platform.random)
            for origin in dict.fromkeys(entry.origin for entry in entries):
                origin.failed([entry for entry in entries if entry.origin is origin], at)
        listener.queue.release(entries)
