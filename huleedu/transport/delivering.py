"""What becomes of a delivery, on every transport: the one place that applies the verdicts.

A transport says where messages come from and how they are acknowledged.  It hands each delivery
to the ``Deliverer`` of its group and acts on the outcome.
"""

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import anyio

from huleedu.core.errors import TooManyDeadLetters, Unavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.message import Header, Message
from huleedu.core.metrics import (
    CONSUMERS_STOPPED,
    DEAD_LETTERS,
    HANDLER_SECONDS,
    TRANSPORT_MESSAGES,
)
from huleedu.core.platform import Platform
from huleedu.store.positions import Superseded
from huleedu.transport.breaker import DeadLetterBreaker, Tally, stop_told
from huleedu.transport.failures import Verdict, dead_letter_cause, verdict
from huleedu.transport.protocol import Delivery, Progress, Subscription


class Fate(Enum):
    """What became of a delivery."""

    HANDLED = "handled"
    ASIDE = "set_aside"
    """Its single message is a dead letter, durably: acknowledge it."""
    AGAIN = "again_later"
    """Deliver the messages again, one by one; a single one after a pause."""
    SUPERSEDED = "superseded"
    """Another process handles these messages now."""
    STOP = "stop"
    """The group has stopped: deliver nothing any more, and acknowledge nothing of this."""


@dataclass
class _HeldUp:
    """A message that is to be tried again."""

    fault: Exception
    since: float
    """When it first failed, on the monotonic clock."""


@dataclass(frozen=True)
class Outcome:
    """What became of a delivery, and the fault that it follows from."""

    fate: Fate
    fault: Exception | None = None
    """None when the messages were handled."""

    @property
    def is_done(self) -> bool:
        """Whether the messages are to be acknowledged."""
        return self.fate in (Fate.HANDLED, Fate.ASIDE)


class Deliverer:
    """Delivers to one group: measures, counts, reports, sets aside, and stops the group.

    Nothing is skipped: a message that can be neither handled nor set aside, whatever the fault,
    is to come again.
    """

    def __init__(self, subscription: Subscription, platform: Platform) -> None:
        self._group = subscription.group
        self._consumer = subscription.consumer
        self._platform = platform
        self._breaker = DeadLetterBreaker()
        self._setting_aside = anyio.Lock()
        self._held_up: dict[str, dict[str, _HeldUp]] = {}  # topic → event id
        self._stopped: str | None = None
        self._logger = create_service_logger("transport")

    @property
    def stopped(self) -> str | None:
        """Why the group has stopped, as a sentence; None while it goes on."""
        return self._stopped

    def held_up(self) -> Sequence[str]:
        """Return, one sentence a topic, which messages wait to be tried again, and why."""
        return [
            _held_up_told(self._group, topic, waiting) for topic, waiting in self._held_up.items()
        ]

    def forget(self, messages: Iterable[Message]) -> None:
        """Take messages for no longer held up: they are done, or another process has them."""
        if not self._held_up:
            return
        for message in messages:
            waiting = self._held_up.get(message.topic, {})
            waiting.pop(message.event_id, None)
            if not waiting:
                self._held_up.pop(message.topic, None)

    def delivery(self, messages: Sequence[Message], attempt: int, progress: Progress) -> Delivery:
        """Return a delivery to this group."""
        waits = self._held_up.get(messages[0].topic, {}).get(messages[0].event_id)
        waited = 0.0 if waits is None else self._platform.clock.monotonic() - waits.since
        tally = Tally(self._breaker)
        return Delivery(self._group, messages, attempt, progress, waited, tally)

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Have the consumer handle the messages, and decide what becomes of them.

        Raises nothing but a cancellation.
        """
        with HANDLER_SECONDS.labels(delivery.messages[0].topic, self._group).time():
            fault = await _fault_of(self._consumer.handle(delivery))
        outcome = Outcome(Fate.HANDLED) if fault is None else await self._judge(delivery, fault)
        self._conclude(delivery, outcome)
        return outcome

    async def _judge(self, delivery: Delivery, fault: Exception) -> Outcome:
        self._report(delivery, fault)
        if isinstance(fault, Superseded):
            return Outcome(Fate.SUPERSEDED, fault)
        fate = verdict(fault, len(delivery.messages), delivery.attempt)
        if fate is Verdict.SET_ASIDE:
            # One after another: several at once would each be judged without the others.
            async with self._setting_aside:
                return await self._set_aside(delivery, fault)
        return Outcome(Fate.STOP if fate is Verdict.STOP else Fate.AGAIN, fault)

    async def _set_aside(self, delivery: Delivery, fault: Exception) -> Outcome:
        try:
            delivery.tally.set_aside([True], fault)
        except TooManyDeadLetters as stop:
            return Outcome(Fate.STOP, stop)
        now, message = self._platform.clock.now(), delivery.messages[0]
        cause = dead_letter_cause(fault, message, self._group, delivery.attempt, now)
        trouble = await _fault_of(self._consumer.set_aside(delivery, cause))
        if trouble is None:
            return Outcome(Fate.ASIDE, fault)
        self._report(delivery, trouble)
        if isinstance(trouble, Superseded):
            return Outcome(Fate.SUPERSEDED, trouble)
        # Without its dead letter the message would be lost, also when the fault is a bug of ours.
        return Outcome(Fate.AGAIN, trouble)

    def _conclude(self, delivery: Delivery, outcome: Outcome) -> None:
        messages, topic = delivery.messages, delivery.messages[0].topic
        if outcome.is_done:
            delivery.tally.done(len(messages))
        if outcome.fate is Fate.ASIDE:
            DEAD_LETTERS.labels(topic, self._group).inc()
        if outcome.fate is Fate.STOP:
            self._stop(topic, outcome.fault)
        else:
            TRANSPORT_MESSAGES.labels(topic, self._group, outcome.fate.value).inc(len(messages))
        if outcome.fate is not Fate.AGAIN:
            self.forget(messages)
        elif len(messages) == 1 and outcome.fault is not None:
            # Of several it is not known yet which one is held up.
            waiting = self._held_up.setdefault(topic, {})
            first = _HeldUp(outcome.fault, self._platform.clock.monotonic())
            waiting.setdefault(messages[0].event_id, first).fault = outcome.fault

    def _stop(self, topic: str, fault: Exception | None) -> None:
        if self._stopped is None and fault is not None:
            self._stopped = stop_told(self._group, topic, fault)
            CONSUMERS_STOPPED.labels(self._group).set(1)
            self._logger.critical("consumer_stopped", group=self._group, reason=self._stopped)

    def _report(self, delivery: Delivery, fault: Exception) -> None:
        first = delivery.messages[0]
        place = {"partition": first.partition, "offset": first.offset}
        self._logger.warning(
            "delivery_failed",
            group=self._group,
            event_type=first.topic,
            event_id=first.event_id,
            correlation_id=first.headers.get(Header.CORRELATION_ID),
            batch_id=first.key.decode(errors="replace"),
            messages=len(delivery.messages),
            attempt=delivery.attempt,
            error=f"{type(fault).__name__}: {fault}",
            exc_info=None if isinstance(fault, Unavailable) else fault,
            **{name: value for name, value in place.items() if value is not None},
        )


async def _fault_of(handling: Awaitable[None]) -> Exception | None:
    try:
        await handling
    except Exception as fault:  # noqa: BLE001 - the delivery loop: every fault has a verdict
        return fault
    return None


def _held_up_told(group: str, topic: str, waiting: dict[str, _HeldUp]) -> str:
    event_id, first = next(iter(waiting.items()))
    others = "" if len(waiting) == 1 else f" and {len(waiting) - 1} more"
    return f"{group} on {topic}: {first.fault} (event {event_id}{others} waiting to be tried again)"
