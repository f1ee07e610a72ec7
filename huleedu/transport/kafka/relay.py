"""From an outbox to Kafka: every row exactly once for a read_committed reader, in order per key.

One process at a time leads (``lease``).  It settles: a new producer fences off every older one,
ends its transaction and carries out how the one before had ended (``undecided``), and only then
tells how far the outbox is published; rows up to there are marked, whatever was thought of them
before, and rows that the broker rolled back are not any more.  From there it publishes slice after
slice, each in one transaction with the position reached (``transactions``), and marks the rows
afterwards: the mark is a convenience, the position is the truth.  After any failure, and when
readers are not shown what was published, it settles anew.

Where the position is of another file, the outbox was put back from a backup or is one of two
copies: that is told, and it goes on under a new id (``shared_rows`` says what is known then).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import anyio

from huleedu.core.errors import BrokerUnavailable, StoreUnavailable, Unavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.message import Message
from huleedu.core.metrics import DEAD_LETTERS, OUTBOX_RENEWED, RELAY_PUBLISHED
from huleedu.core.platform import Platform
from huleedu.store.database import Database
from huleedu.store.outbox_identity import (
    last_commits,
    note_ending,
    note_topics,
    read_outbox_id,
    topics_written,
)
from huleedu.transport.kafka.catching_up import CaughtUp, catch_up
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.hidden_watch import HiddenWatch
from huleedu.transport.kafka.lease import BEAT_SECONDS, LAPSE_SECONDS, Lease
from huleedu.transport.kafka.outbox_slices import mark_sent_up_to, read_following
from huleedu.transport.kafka.producing import retry_seconds
from huleedu.transport.kafka.record import fitted, record_bytes
from huleedu.transport.kafka.shared_rows import Position
from huleedu.transport.kafka.steps import At, Step, no_stop
from huleedu.transport.kafka.transactions import (
    CALL_SECONDS,
    TRANSACTION_TIMEOUT_MS,
    OutboxTransactions,
    last_ending,
)
from huleedu.transport.outbox_gauges import GAUGE_SECONDS, measure_outbox

LOOK_SECONDS = 0.1
"""How long a row may wait that another process committed: its commits are not told here."""
SENDER = "outbox-relay"
"""What stands in for the group in a dead letter that the relay itself makes."""


@dataclass(frozen=True)
class RelayTimes:
    """How long what may take; the defaults are those of a deployment."""

    lapse_seconds: float = LAPSE_SECONDS
    beat_seconds: float = BEAT_SECONDS
    call_seconds: float = CALL_SECONDS
    transaction_timeout_ms: int = TRANSACTION_TIMEOUT_MS


class KafkaRelay:
    """Publishes one store's outbox, when its turn comes."""

    def __init__(
        self,
        database: Database,
        connection: KafkaConnection,
        platform: Platform,
        holder: str,
        times: RelayTimes = RelayTimes(),
        at: At = no_stop,
    ) -> None:
        self._database = database
        self._connection = connection
        self._platform = platform
        self._times = times
        self._at = at
        self._module = database.path.stem
        self._lease = Lease(database, platform, holder, times.lapse_seconds, times.beat_seconds)
        self._committed = anyio.Event()
        self._topics: set[str] = set()
        self._hidden = HiddenWatch()
        self._troubles: dict[str, str] = {}
        self._failures = 0
        self._logger = create_service_logger("relay")
        database.after_commit(self._note_commit)

    async def run(self) -> None:
        """Stand by and lead in turns until cancelled; then the open transaction is aborted."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._measure)
            while True:
                try:
                    await self._lease.acquire()
                    await self._at(Step.LEASE_TAKEN)
                    await self._lead()
                except StoreUnavailable as fault:
                    await self._pause_after(fault)
                finally:
                    await self._release()

    def troubles(self) -> Sequence[str]:
        """Return why rows cannot be published, if so."""
        return list(self._troubles.values())

    def _note_commit(self) -> None:
        self._committed.set()

    async def _release(self) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._lease.release()
            except StoreUnavailable as fault:
                # The lock on the file is gone all the same: that is enough for the next one.
                self._logger.warning("outbox_unavailable", module=self._module, error=str(fault))

    async def _lead(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_lease, tasks.cancel_scope)
            while await self._still_leads():
                fault = await self._settle_and_publish()
                if fault is not None:
                    await self._pause_after(fault)
            tasks.cancel_scope.cancel()

    async def _keep_lease(self, leading: anyio.CancelScope) -> None:
        while True:
            await self._platform.clock.sleep(self._lease.beat_seconds)
            await self._at(Step.BEAT_DUE)
            if not await self._still_leads():
                leading.cancel()
                return
            await self._at(Step.BEATEN)

    async def _still_leads(self) -> bool:
        try:
            leads = await self._lease.beat()
        except StoreUnavailable as fault:
            # Nobody can take the lease while the store takes no write; so go on.
            self._note_trouble("lease", fault)
            return True
        self._troubles.pop("lease", None)
        return leads

    async def _settle_and_publish(self) -> Unavailable | None:
        """Publish until something fails, and return it; None: a new producer is wanted."""
        transactions: OutboxTransactions | None = None
        try:
            outbox_id = await self._database.read(read_outbox_id)
            await self._note_ending(outbox_id)
            transactions = await OutboxTransactions.opened(
                self._connection,
                outbox_id,
                self._times.call_seconds,
                self._times.transaction_timeout_ms,
            )
            await self._at(Step.STARTED)
            after = await self._settle(transactions, outbox_id)
            await self._publish(transactions, after)
        except Unavailable as fault:
            return fault
        except anyio.get_cancelled_exc_class():
            if transactions is not None:
                with anyio.CancelScope(shield=True):
                    await transactions.abort()
            raise
        finally:
            if transactions is not None:
                await transactions.close()
        return None

    async def _note_ending(self, outbox_id: str) -> None:
        commits = await last_ending(self._connection, outbox_id)
        if commits is not None:
            await self._database.write(partial(note_ending, commits=commits))
        await self._at(Step.ENDING_NOTED)

    async def _settle(self, transactions: OutboxTransactions, outbox_id: str) -> Position:
        """Mark what is published, and only that; return from where to go on."""
        topics, commits = await self._database.read(
            lambda db: (topics_written(db), last_commits(db))
        )
        self._topics = set(topics)
        await transactions.decide(topics, commits)
        await self._at(Step.DECIDED)
        position = await transactions.position()
        await self._at(Step.POSITION_READ)
        now = self._platform.clock.now()
        caught_up = await self._database.write(partial(catch_up, position=position, now=now))
        self._tell(caught_up, outbox_id, position)
        if caught_up.renewed:
            raise BrokerUnavailable(
                f"the outbox of {self._module} was put back from a backup, or another copy of it "
                f"is in use: the broker knows rows of it that it does not have; it goes on under a "
                f"new id"
            )
        await self._at(Step.CAUGHT_UP)
        if position is None or position.openings is None:
            # From now on no position means a forgotten one, never one that was rolled back.
            await transactions.publish([], caught_up.after, no_stop)
        self._hidden.published(self._platform.clock.monotonic())
        return caught_up.after

    def _tell(self, caught_up: CaughtUp, outbox_id: str, position: Position | None) -> None:
        if caught_up.renewed:
            OUTBOX_RENEWED.labels(self._module).inc()
        if caught_up.rolled_back:
            self._logger.warning(
                "broker_rolled_back", module=self._module, rows=caught_up.rolled_back
            )
        RELAY_PUBLISHED.labels(self._module).inc(caught_up.marked)
        self._logger.log(
            logging.ERROR if caught_up.renewed else logging.INFO,
            "outbox_was_put_back_or_copied" if caught_up.renewed else "relay_settled",
            module=self._module,
            outbox_id=outbox_id,
            position=None if position is None else position.row_id,
            marked=caught_up.marked,
        )

    async def _publish(self, transactions: OutboxTransactions, position: Position) -> None:
        """Publish slice after slice, until a new producer is wanted."""
        while not transactions.is_doubtful:
            self._committed = anyio.Event()
            rows = await self._database.read(partial(read_following, position=position))
            if rows is None:
                self._logger.error("outbox_was_exchanged", module=self._module)
                break
            if not rows.messages:
                self._all_is_well()
                if await self._is_hidden_for_long(transactions):
                    break
                with anyio.move_on_after(LOOK_SECONDS):
                    await self._committed.wait()
                continue
            await self._at(Step.SLICE_READ)
            messages = [self._fitted(message) for message in rows.messages]
            await self._note_topics(messages)
            await transactions.publish(messages, rows.position, self._at)
            await self._mark(position.row_id, rows.last_id)
            position = rows.position
            self._hidden.published(self._platform.clock.monotonic())
            self._all_is_well()
        self._logger.info("relay_producer_renewed", module=self._module)

    async def _is_hidden_for_long(self, transactions: OutboxTransactions) -> bool:
        """Tell whether readers wait for something to end that only a new settling ends."""
        clock = self._platform.clock
        if not self._hidden.wants_look(clock.monotonic()):
            return False
        hidden = await transactions.hidden_from(self._topics)
        is_stuck = self._hidden.is_stuck(clock.monotonic(), hidden)
        if is_stuck:
            places = [f"{topic}[{number}] from {at}" for (topic, number), at in hidden.items()]
            self._logger.warning("published_but_hidden", module=self._module, where=sorted(places))
        return is_stuck

    async def _note_topics(self, messages: Sequence[Message]) -> None:
        """Have the store know where records may be, before there are any."""
        new = {message.topic for message in messages} - self._topics
        if new:
            await self._database.write(partial(note_topics, topics=new))
            self._topics |= new

    async def _mark(self, after: int, last_id: int) -> None:
        now = self._platform.clock.now()
        mark = partial(mark_sent_up_to, after=after, last_id=last_id, now=now)
        marked = await self._database.write(mark)
        RELAY_PUBLISHED.labels(self._module).inc(marked)
        await self._at(Step.MARKED)

    def _fitted(self, message: Message) -> Message:
        sent = fitted(message, SENDER, self._platform.clock.now())
        if sent is not message:
            DEAD_LETTERS.labels(message.topic, SENDER).inc()
            self._logger.error(
                "outbox_row_cut",
                module=self._module,
                event_type=message.topic,
                event_id=message.event_id,
                bytes=record_bytes(message),
            )
        return sent

    async def _pause_after(self, fault: Unavailable) -> None:
        self._failures += 1
        self._note_trouble("relay", fault)
        await self._platform.clock.sleep(retry_seconds(self._failures, self._platform.random))

    def _note_trouble(self, activity: str, fault: Unavailable) -> None:
        self._troubles[activity] = f"outbox of {self._module} ({activity}): {fault}"
        self._logger.warning(
            "relay_failed",
            module=self._module,
            activity=activity,
            attempt=self._failures,
            error=f"{type(fault).__name__}: {fault}",
        )

    def _all_is_well(self) -> None:
        self._failures = 0
        self._troubles.pop("relay", None)

    async def _measure(self) -> None:
        while True:
            try:
                await measure_outbox(self._database, self._platform.clock)
            except StoreUnavailable as fault:
                self._note_trouble("measure", fault)
            else:
                self._troubles.pop("measure", None)
            await self._platform.clock.sleep(GAUGE_SECONDS)
