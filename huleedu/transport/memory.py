"""The embedded bus: groups, order per key, redelivery, bounded queues, durable dead letters.

Nothing is kept here: what was not acknowledged by every group is still in some outbox, and comes
again after a crash.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio

from huleedu.core.errors import BrokerUnavailable
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.core.topics import dead_letter_topic
from huleedu.store.database import Database
from huleedu.transport.dead_letters import DEAD_LETTER_GROUP, DeadLetterKeeper
from huleedu.transport.delivering import Deliverer, Fate
from huleedu.transport.event_progress import EventProgress
from huleedu.transport.failures import pause_seconds
from huleedu.transport.memory_queue import Entry, TopicQueue, nothing
from huleedu.transport.protocol import Subscription
from huleedu.transport.relay import OutboxRelay

QUEUE_MESSAGES_MAX = 1_000
STOP_SECONDS_MAX = 5.0


@dataclass(frozen=True)
class _Listener:
    """One group on one topic."""

    subscription: Subscription
    topic: str
    queue: TopicQueue


class _Published:
    """Messages whose publisher waits until every group has handled them, or one will not."""

    def __init__(self, messages: int) -> None:
        self.remaining = messages
        self.settled = anyio.Event()
        self._is_left = False
        self._is_given_up = False
        self._settle_when_over()

    def one_handled(self) -> None:
        """Note that every group has handled one of them."""
        self.remaining -= 1
        self._settle_when_over()

    def one_left(self) -> None:
        """Note that a group will not handle one of them before a restart."""
        self._is_left = True
        self._settle_when_over()

    def give_up(self) -> None:
        """Wait no longer once a group has left one of them."""
        self._is_given_up = True
        self._settle_when_over()

    def _settle_when_over(self) -> None:
        if not self.remaining or (self._is_left and self._is_given_up):
            self.settled.set()


class MemoryTransport:
    """Carries messages between the modules of one process (see ``protocol.Transport``)."""

    def __init__(
        self,
        platform: Platform,
        dead_letters: Database,
        queue_messages_max: int = QUEUE_MESSAGES_MAX,
    ) -> None:
        self._platform = platform
        self._queue_messages_max = queue_messages_max
        self._keeper = DeadLetterKeeper(dead_letters, platform)
        self._listeners: dict[str, list[_Listener]] = {}
        self._relays: list[OutboxRelay] = []
        self._in_hand: set[anyio.CancelScope] = set()
        self._publishing: dict[_Published, None] = {}  # in the order in which they began
        self._stopping = False
        self._deliverers: dict[str, Deliverer] = {}

    def subscribe(self, subscription: Subscription) -> None:
        """Attach a group to its topics.  Raises ``ValueError`` when it is attached already."""
        for topic in subscription.topics:
            self._listen(subscription, topic)
            dead = dead_letter_topic(topic)
            if not self._listens(DEAD_LETTER_GROUP, dead):
                self._listen(Subscription(DEAD_LETTER_GROUP, [dead], self._keeper), dead)

    def relay(self, database: Database) -> None:
        """Publish what this store's outbox holds."""
        self._relays.append(OutboxRelay(database, self._accept, self._platform))

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once every group has handled every message.

        Raises ``BrokerUnavailable`` when the bus stops before that.
        """
        published = _Published(len(messages))
        self._publishing[published] = None
        try:
            for message in messages:
                await self._accept(message, published.one_handled, published.one_left)
            if self._stopping:
                published.give_up()
            await published.settled.wait()
        finally:
            self._publishing.pop(published, None)
        if published.remaining:
            raise BrokerUnavailable("the bus stopped before every group had handled the messages")

    async def run(self) -> None:
        """Deliver and relay until cancelled; what is in hand then has 5 s to end.

        Once: after a stop, a new transport on the same stores goes on.
        """
        try:
            async with anyio.create_task_group() as tasks:
                for listener in (one for several in self._listeners.values() for one in several):
                    for _ in range(listener.subscription.concurrency):
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

    def _stop(self) -> None:
        self._stopping = True
        for scope in self._in_hand:
            scope.deadline = anyio.current_time() + STOP_SECONDS_MAX
        for listener in (one for several in self._listeners.values() for one in several):
            listener.queue.close()
        # What is in the hands of every group still may be acknowledged; what one left will not.
        for published in self._publishing:
            published.give_up()

    def troubles(self) -> Sequence[str]:
        """Return what keeps messages from flowing."""
        return [
            # Told at once: what is in hand may still take its time to end.
            *(["the bus is stopping"] if self._stopping else ()),
            *(one.stopped for one in self._deliverers.values() if one.stopped is not None),
            *(told for one in self._deliverers.values() for told in one.held_up()),
            *(trouble for relay in self._relays for trouble in relay.troubles()),
        ]

    def _listens(self, group: str, topic: str) -> bool:
        return any(one.subscription.group == group for one in self._listeners.get(topic, ()))

    def _listen(self, subscription: Subscription, topic: str) -> None:
        if self._listens(subscription.group, topic):
            raise ValueError(f"group {subscription.group} listens to {topic} already")
        listener = _Listener(subscription, topic, TopicQueue(self._queue_messages_max))
        self._listeners.setdefault(topic, []).append(listener)
        if subscription.group not in self._deliverers:
            self._deliverers[subscription.group] = Deliverer(subscription, self._platform)

    async def _accept(
        self,
        message: Message,
        acknowledge: Callable[[], None],
        abandon: Callable[[], None] = nothing,
    ) -> None:
        """Queue a message for every group.

        ``acknowledge`` is called when the last is done, or else ``abandon`` once it is known that
        a group will not handle the message before a restart.
        """
        listeners = self._listeners.get(message.topic, [])
        remaining = len(listeners)
        if not remaining:
            acknowledge()

        def one_group_done() -> None:
            nonlocal remaining
            remaining -= 1
            if remaining == 0:
                acknowledge()

        is_abandoned = False

        def one_group_stopped() -> None:
            nonlocal is_abandoned
            if not is_abandoned:
                is_abandoned = True
                abandon()

        for listener in listeners:
            await listener.queue.put(Entry(message, one_group_done, one_group_stopped))

    async def _work(self, listener: _Listener) -> None:
        while not self._stopping:
            entries = await listener.queue.take(listener.subscription.batch_max)
            is_over = False
            with anyio.CancelScope(shield=True) as scope:
                self._in_hand.add(scope)
                try:
                    await self._deliver(listener, entries)
                    is_over = True
                finally:
                    self._in_hand.discard(scope)
                    if not is_over:
                        for entry in entries:
                            entry.abandon()

    async def _deliver(self, listener: _Listener, entries: Sequence[Entry]) -> None:
        group, attempt = listener.subscription.group, entries[0].attempt
        deliverer = self._deliverers[group]
        messages = [entry.message for entry in entries]
        progress = EventProgress(group, messages, self._platform)
        outcome = await deliverer.deliver(deliverer.delivery(messages, attempt, progress))
        if outcome.is_done:
            listener.queue.done(entries)
            return
        if outcome.fate is Fate.STOP:
            # Nothing is taken from the group's queues any more; outboxes keep what it leaves.
            for one in (one for several in self._listeners.values() for one in several):
                if one.subscription.group == group:
                    one.queue.close()
        pause = pause_seconds(attempt, self._platform.random)
        listener.queue.put_back(entries, anyio.current_time() + pause)
