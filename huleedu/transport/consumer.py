"""The shell around every module with a store: one delivery, one transaction, exactly one effect."""

import logging
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Generic

import msgspec
from typing_extensions import TypeVar

from huleedu.core.enums import ProcessingEvent
from huleedu.core.envelope import EventEnvelope, decode
from huleedu.core.errors import MalformedMessage
from huleedu.core.logging import create_service_logger, is_logged, log_event_processing
from huleedu.core.message import Header, Message
from huleedu.core.messages import READINESS_TIMEOUT_MAX, READINESS_TIMEOUT_MIN, EventData
from huleedu.core.metrics import DEAD_LETTERS
from huleedu.core.platform import Platform
from huleedu.core.topics import TOPICS, event_on
from huleedu.store import outbox
from huleedu.store.database import Database
from huleedu.transport.failures import dead_letter, dead_letter_cause
from huleedu.transport.protocol import Delivery
from huleedu.transport.replays import is_for

_ABOUT_ESSAYS = frozenset(
    event for event, topic in TOPICS.items() if hasattr(topic.data_type, "essay_id")
)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,15})?", re.ASCII)
_ATTEMPT = re.compile(r"0*[1-9][0-9]{0,5}", re.ASCII)


DataT_co = TypeVar("DataT_co", bound=EventData, default=EventData, covariant=True)


class Heard(msgspec.Struct, Generic[DataT_co], frozen=True):
    """One decoded message; ``Heard[T]`` is one whose data is known to be a T."""

    event: ProcessingEvent
    envelope: EventEnvelope[DataT_co]
    message: Message

    @property
    def data(self) -> DataT_co:
        """What was said."""
        return self.envelope.data

    @property
    def batch_id(self) -> str:
        """The batch it is about; where the data does not say, the key does.

        Raises ``MalformedMessage`` when neither says.
        """
        named = self.envelope.data.batch_id
        if not named and TOPICS[self.event].key == "batch_id":
            named = _key_text(self.message)
        if not named:
            raise MalformedMessage(f"a message on {self.message.topic} names no batch")
        return named

    @property
    def essay_id(self) -> str | None:
        """The essay it is about, if it is about one."""
        return getattr(self.envelope.data, "essay_id", None)

    @property
    def attempt(self) -> int | None:
        """The header ``attempt``.  Raises ``MalformedMessage`` unless a whole number from 1."""
        text = self.message.headers.get(Header.ATTEMPT)
        if text is None:
            return None
        if not _ATTEMPT.fullmatch(text):
            raise MalformedMessage(
                f"header attempt is {text[:40]!r}; a whole number from 1 to 999999 is meant"
            )
        return int(text)

    @property
    def readiness_timeout(self) -> timedelta | None:
        """The header ``readiness-timeout-seconds`` of a registration.

        Raises ``MalformedMessage`` where it is not a number of seconds within the bounds.
        """
        text = self.message.headers.get(Header.READINESS_TIMEOUT_SECONDS)
        if text is None:
            return None
        timeout = timedelta(seconds=float(text)) if _SECONDS.fullmatch(text) else timedelta()
        if not READINESS_TIMEOUT_MIN <= timeout <= READINESS_TIMEOUT_MAX:
            raise MalformedMessage(
                f"header {Header.READINESS_TIMEOUT_SECONDS} of batch {self.batch_id!r} is "
                f"{text[:40]!r}; expected seconds from 1 to "
                f"{READINESS_TIMEOUT_MAX.total_seconds():,.0f}"
            )
        return timeout


Apply = Callable[[sqlite3.Connection, Sequence[Heard], datetime], Iterable[Message]]
"""Changes a module's state by what was heard, at this moment; returns what follows from it."""

Refused = tuple[Message, MalformedMessage]
"""A message that cannot be read, and why."""


class StoreConsumer:
    """Makes each message count exactly once in a module's store.

    In one transaction: note the delivery as handled, decode it, apply it, put what follows and
    the dead letters of what cannot be decoded into the outbox.
    """

    def __init__(self, database: Database, apply: Apply, platform: Platform, module: str) -> None:
        self._database = database
        self._apply = apply
        self._platform = platform
        self._logger = create_service_logger(module)
        self._module = module

    async def handle(self, delivery: Delivery) -> None:
        """Absorb the delivery.  Raises what the module's ``apply`` raises, then nothing is kept.

        So with ``TooManyDeadLetters``, when too much of it cannot be decoded.
        """
        now = self._platform.clock.now()
        heard, refused = await self._database.write(lambda db: self._absorb(db, delivery, now))
        for message, fault in refused:
            self._report(message, delivery.group, fault)
        self._log_handled(heard, delivery.group)

    async def set_aside(self, delivery: Delivery, cause: Mapping[str, str]) -> None:
        """Put the messages into the outbox as dead letters, and note them as handled."""
        now = self._platform.clock.now()

        def work(connection: sqlite3.Connection) -> None:
            fresh = delivery.progress.advance(connection)
            outbox.add(connection, [dead_letter(m, cause) for m in fresh], now)

        await self._database.write(work)

    def _absorb(
        self, connection: sqlite3.Connection, delivery: Delivery, now: datetime
    ) -> tuple[Sequence[Heard], Sequence[Refused]]:
        heard: list[Heard] = []
        refused: list[Refused] = []
        aside: list[bool] = []
        for message in delivery.progress.advance(connection):
            if not is_for(message, delivery.group):
                continue
            try:
                heard.append(hear(message))
                aside.append(False)
            except MalformedMessage as fault:
                refused.append((message, fault))
                aside.append(True)
        if refused:
            delivery.tally.set_aside(aside, refused[-1][1])
        said = self._apply(connection, heard, now) if heard else ()
        dead = [
            dead_letter(m, dead_letter_cause(fault, m, delivery.group, delivery.attempt, now))
            for m, fault in refused
        ]
        outbox.add(connection, [*said, *dead], now)
        return heard, refused

    def _log_handled(self, heard: Iterable[Heard], group: str) -> None:
        # Asked once: a line that nobody reads costs more than the rest of handling a text.
        essays_too = is_logged(self._module, logging.DEBUG)
        for one in heard:
            if one.event in _ABOUT_ESSAYS and not essays_too:
                continue
            essay_id = one.essay_id
            log_event_processing(
                self._logger,
                "event_handled",
                event_type=one.envelope.event_type,
                event_id=str(one.envelope.event_id),
                correlation_id=_text(one.envelope.correlation_id),
                batch_id=one.batch_id,
                essay_id=essay_id,
                level=logging.DEBUG if essay_id else logging.INFO,
                group=group,
            )

    def _report(self, message: Message, group: str, fault: MalformedMessage) -> None:
        DEAD_LETTERS.labels(message.topic, group).inc()
        log_event_processing(
            self._logger,
            "event_set_aside",
            event_type=message.topic,
            event_id=message.event_id,
            correlation_id=message.headers.get(Header.CORRELATION_ID),
            batch_id=message.key.decode(errors="replace"),
            level=logging.WARNING,
            group=group,
            error=str(fault),
        )


def hear(message: Message) -> Heard:
    """Return the decoded message.  Raises ``MalformedMessage``."""
    envelope = decode(message.topic, message.value)
    heard = Heard(event_on(message.topic), envelope, message)
    # Refused here, with its message, and not in one module or the other.
    _ = heard.batch_id, heard.attempt
    if heard.event is ProcessingEvent.BATCH_ESSAYS_REGISTERED:
        _ = heard.readiness_timeout
    return heard


def _key_text(message: Message) -> str:
    try:
        return message.key.decode()
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"the key of a message on {message.topic} is no UTF-8") from error


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
