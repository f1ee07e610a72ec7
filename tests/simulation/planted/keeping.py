"""Planted bugs in how what was heard and said is kept."""

import dataclasses
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from random import Random
from typing import TypeVar
from uuid import uuid5

from msgspec.structs import replace

from huleedu.core.errors import MalformedMessage
from huleedu.core.ids import derived_event_id
from huleedu.core.message import Header, Message
from huleedu.els.timekeeper import Timekeeper
from huleedu.results import handlers as results_handlers
from huleedu.store import outbox
from huleedu.store.positions import read as read_position
from huleedu.transport import memory, relay
from huleedu.transport.consumer import Heard, StoreConsumer, hear
from huleedu.transport.event_progress import EventProgress
from huleedu.transport.failures import dead_letter, dead_letter_cause
from huleedu.transport.kafka import group, stateless_group, stored_group
from huleedu.transport.kafka import relay as kafka_relay
from huleedu.transport.kafka.partition_progress import PartitionProgress
from huleedu.transport.kafka.transactions import OutboxTransactions
from huleedu.transport.protocol import Delivery
from tests.simulation.replaced import replaced
from tests.simulation.world import Build

T = TypeVar("T")


class DedupeRemoved(Build):
    """Whatever is delivered counts, also when it was handled before."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        def by_event(self: EventProgress, _connection: sqlite3.Connection) -> Sequence[Message]:
            return list(self._by_event_id.values())

        real = PartitionProgress.advance

        def by_position(
            self: PartitionProgress, connection: sqlite3.Connection
        ) -> Sequence[Message]:
            self._steps = {
                tp: dataclasses.replace(
                    step, seen=read_position(connection, self._group, *tp) or step.seen
                )
                for tp, step in self._steps.items()
            }
            return real(self, connection)

        with (
            super().patched(),
            replaced(EventProgress, "advance", by_event),
            replaced(PartitionProgress, "advance", by_position),
        ):
            yield


class OutboxMarkedBeforePublish(Build):
    """A row is marked as sent as soon as it is read, and only then handed over."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        real = relay.OutboxRelay.read

        async def read(self: relay.OutboxRelay, query: Callable[[sqlite3.Connection], T]) -> T:
            result = await real(self, query)
            rows = result if isinstance(result, list) else []
            ids = [row.id for row in rows if isinstance(row, outbox.OutboxRow)]
            if ids:
                now = self._platform.clock.now()
                await self._until_it_works(
                    "mark", lambda: self.database.write(lambda db: outbox.mark_sent(db, ids, now))
                )
            return result

        with super().patched(), replaced(relay.OutboxRelay, "read", read):
            yield


class OffsetCommittedFirst(Build):
    """How far is read is committed in one transaction, what follows from it in the next."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        async def handle(self: StoreConsumer, delivery: Delivery) -> None:
            now = self._platform.clock.now()
            fresh = await self._database.write(delivery.progress.advance)

            def work(connection: sqlite3.Connection) -> None:
                heard = [hear(message) for message in fresh]
                outbox.add(connection, self._apply(connection, heard, now) if heard else (), now)

            await self._database.write(work)

        with super().patched(), replaced(StoreConsumer, "handle", handle):
            yield


class DeadlineOnlyInMemory(Build):
    """What a process knew of deadlines is gone with it."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        async def adopt(self: Timekeeper, _now: datetime) -> None:
            await self._database.write(
                lambda db: db.execute("UPDATE batch SET deadline_at = NULL") and None
            )

        with super().patched(), replaced(Timekeeper, "adopt", adopt):
            yield


class RetryWithoutBackoff(Build):
    """What failed comes again at once."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        def at_once(_attempt: int, _random: Random) -> float:
            return 0.0

        with ExitStack() as stack:
            stack.enter_context(super().patched())
            for module in (memory, relay, group, stored_group, stateless_group):
                stack.enter_context(replaced(module, "pause_seconds", at_once))
            yield


class ProjectionAppliedTwice(Build):
    """Results notes everything that it hears, and then notes it again."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        real = results_handlers.apply

        def apply(
            connection: sqlite3.Connection, heard: Sequence[Heard], now: datetime
        ) -> Sequence[Message]:
            real(connection, heard, now)
            return real(connection, [_again(one) for one in heard], now)

        with super().patched(), replaced(results_handlers, "apply", apply):
            yield


class DeadLetterBeforeCommit(Build):
    """A dead letter is said before it is noted that its message was handled."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        async def handle(self: StoreConsumer, delivery: Delivery) -> None:
            now = self._platform.clock.now()
            readable: list[Heard] = []
            dead: list[Message] = []
            for message in delivery.messages:
                try:
                    readable.append(hear(message))
                except MalformedMessage as fault:
                    cause = dead_letter_cause(fault, message, delivery.group, delivery.attempt, now)
                    dead.append(dead_letter(message, cause))
            if dead:
                await self._database.write(lambda db: outbox.add(db, dead, now))

            def work(connection: sqlite3.Connection) -> None:
                fresh = delivery.progress.advance(connection)
                heard = [one for one in readable if one.message in fresh]
                outbox.add(connection, self._apply(connection, heard, now) if heard else (), now)

            await self._database.write(work)

        with super().patched(), replaced(StoreConsumer, "handle", handle):
            yield


def _again(one: Heard) -> Heard:
    again = str(uuid5(derived_event_id("again"), one.message.event_id))
    headers = {**one.message.headers, Header.EVENT_ID: again}
    return Heard(one.event, one.envelope, replace(one.message, headers=headers))


class EndingForgotten(Build):
    """Whatever a broker left undecided when it went away is rolled back."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        with super().patched(), replaced(kafka_relay, "last_commits", lambda _connection: False):
            yield


class SilentReconnection(Build):
    """A producer goes on whose broker was away meanwhile."""

    @contextmanager
    def patched(self) -> Iterator[None]:
        with super().patched(), replaced(OutboxTransactions, "is_doubtful", False):
            yield
