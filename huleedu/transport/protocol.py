"""What a transport promises, whichever it is.

At-least-once delivery, in order per topic and key, once per consumer group; a consumer that keeps
its progress beside its state makes of it exactly one effect.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from huleedu.core.message import Message
from huleedu.store.database import Database
from huleedu.transport.breaker import Tally


class Progress(Protocol):
    """The transport's note of what a group has handled, to be kept in the group's own store."""

    def advance(self, connection: sqlite3.Connection) -> Sequence[Message]:
        """Note this delivery as handled, in the transaction of its effects.

        Returns the messages that were not handled before, in order.
        Raises ``Superseded`` when another process went on meanwhile.
        """
        ...


@dataclass(frozen=True)
class Delivery:
    """A micro-batch for one group: messages in order per topic and key."""

    group: str
    messages: Sequence[Message]
    attempt: int
    """1 at first; counts up when the delivery is repeated after a failure."""
    progress: Progress
    waited_seconds: float = 0.0
    """For how long a message that comes again has been held up in this process."""
    tally: Tally = field(default_factory=Tally)
    """Asked by who sets messages aside beside others that it handles."""


class Consumer(Protocol):
    """Someone who listens on behalf of a group."""

    async def handle(self, delivery: Delivery) -> None:
        """Handle the messages; returning acknowledges all of them.

        Raising brings them again: one by one after any failure of several, later and later for
        what may heal; what is wrong in itself goes to ``set_aside``.  Of a single message,
        ``TooManyDeadLetters`` stops the group until the process is restarted.
        """
        ...

    async def set_aside(self, delivery: Delivery, cause: Mapping[str, str]) -> None:
        """Make dead letters of the messages, durably, with the cause in these headers."""
        ...


@dataclass(frozen=True)
class Subscription:
    """What a group hears, and how much of it at once."""

    group: str
    topics: Sequence[str]
    consumer: Consumer
    store: Database | None = None
    """Where the consumer keeps its progress beside its state; None: it has no state."""
    batch_max: int = 500
    """Messages in one delivery at most."""
    concurrency: int = 1
    """Deliveries of one topic under way at once, never two with the same key."""


class Transport(Protocol):
    """A way for modules to speak and to listen."""

    def subscribe(self, subscription: Subscription) -> None:
        """Attach a group.  Every group attaches before ``run``."""
        ...

    def relay(self, database: Database) -> None:
        """Publish what the outbox of this store holds, in order per key, for as long as it runs."""
        ...

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once every message is durable: on the broker, or in a store of the bus.

        No group is waited for.  Raises ``Unavailable`` when it failed or the outcome is unknown:
        publish again, under the same id.
        """
        ...

    async def run(self) -> None:
        """Deliver and relay until cancelled; what is being handled then is finished first."""
        ...

    def troubles(self) -> Sequence[str]:
        """Return, for ``/readyz``, what keeps messages from flowing; empty when all is well."""
        ...

    def held_up(self) -> Sequence[str]:
        """Return which single messages wait to be tried again, while all others flow."""
        ...

    def hears(self, group: str) -> bool:
        """Tell whether messages reach this group, whatever troubles others have."""
        ...
