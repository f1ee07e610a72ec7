"""What both kinds of consumers share: joining again and again, placing, failing, troubles."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence

import anyio
from aiokafka import ConsumerRecord, TopicPartition
from anyio.abc import TaskGroup

from huleedu.core.errors import TooManyDeadLetters, Unavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.store.positions import Position
from huleedu.transport.delivering import Deliverer, Fate, Outcome
from huleedu.transport.failures import pause_seconds
from huleedu.transport.kafka.committed import Committed
from huleedu.transport.kafka.lag_gauge import LagGauge
from huleedu.transport.kafka.membership import Membership
from huleedu.transport.kafka.placement import Log, Oddity, Placement, placement
from huleedu.transport.kafka.topic_watch import TopicWatch
from huleedu.transport.kafka.watchdog import Watchdog
from huleedu.transport.protocol import Delivery, Subscription

COMMIT_EVERY_SECONDS = 1.0


class Group(ABC):
    """Consumes on behalf of one subscription until cancelled; survives every loss of the broker.

    When most of the messages would become dead letters it stops until the process is restarted:
    it keeps its partitions, so that no other member floods the dead letters in its place, and
    reads nothing from them.
    """

    def __init__(
        self,
        membership: Membership,
        subscription: Subscription,
        platform: Platform,
        watchdog_seconds: float,
    ) -> None:
        self._membership = membership
        self._subscription = subscription
        self._platform = platform
        self._placed: dict[TopicPartition, int] = {}
        self._to_commit: set[TopicPartition] = set()
        self._unsure: set[TopicPartition] = set()
        self._committed: dict[TopicPartition, int] = {}
        self._committed_at = 0.0
        self._troubles: dict[str, str] = {}
        self._deliverer = Deliverer(subscription, platform)
        self._watchdog = Watchdog(membership, subscription.group, self._is_busy, watchdog_seconds)
        self._topics = TopicWatch(membership)
        self._lag = LagGauge(membership, subscription.group, subscription.topics, self._stands_at)
        self._logger = create_service_logger("kafka")
        membership.when_revoked(self._forget)

    async def run(self) -> None:
        """Join, consume, and join again after every loss, with growing pauses.

        Raises ``TaskDied``, in a group, when new consumers do not help against a standstill.
        """
        attempt = 0
        while True:
            try:
                await self._membership.join()
                attempt = 0
                self._troubles.pop("broker", None)
                self._logger.info("consumer_started", group=self._subscription.group)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._membership.keep_polled)
                    tasks.start_soon(self._watchdog.run)
                    tasks.start_soon(self._lag.run)
                    tasks.start_soon(self._topics.run)
                    await self._consume_or_stand()
            except* Unavailable as faults:
                attempt += 1
                fault = _first(faults)
                self._troubles["broker"] = f"{self._subscription.group}: {fault}"
                self._logger.warning(
                    "consumer_interrupted", group=self._subscription.group, error=str(fault)
                )
            finally:
                with anyio.CancelScope(shield=True):
                    await self._leave()
            await anyio.sleep(pause_seconds(attempt, self._platform.random))

    def troubles(self) -> Sequence[str]:
        """Return what keeps all messages, or those of a partition, from being handled."""
        stopped = [self._deliverer.stopped] if self._deliverer.stopped is not None else []
        told = [*stopped, *self._troubles.values(), *self._watchdog.troubles()]
        if told or self._membership.has_joined:
            return told
        return [f"{self._subscription.group} has not joined yet"]

    def held_up(self) -> Sequence[str]:
        """Return which single messages wait to be tried again."""
        return self._deliverer.held_up()

    async def _consume_or_stand(self) -> None:
        if not self._is_stopped:
            try:
                async with anyio.create_task_group() as tasks:
                    await self._consume(tasks)
            except* TooManyDeadLetters:
                pass  # logged where it was decided
        while True:
            self._membership.pause(*self._membership.assigned)
            await self._membership.fetch(1)  # of a partition that came meanwhile: left unhandled
            await self._commit_now_and_then()

    @abstractmethod
    def _is_busy(self) -> bool:
        """Return whether nothing is fetched because of what is being handled."""

    @abstractmethod
    def _is_in_hand(self, partition: TopicPartition) -> bool:
        """Return whether messages of a partition that is not paused are read and not handled."""

    @abstractmethod
    async def _consume(self, tasks: TaskGroup) -> None:
        """Fetch and handle until cancelled or ``Unavailable`` is raised."""

    @abstractmethod
    async def _positions(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, Position | None]:
        """Return where the group stands in these partitions; None where it was never placed."""

    @abstractmethod
    async def _note_positions(
        self, moves: Mapping[TopicPartition, tuple[Position | None, Position]]
    ) -> Collection[TopicPartition]:
        """Note durably where the group begins; return where that is certain to be noted."""

    @abstractmethod
    def _note_placed(self, partition: TopicPartition, position: Position) -> None:
        """Remember where the group stands in a partition that was just placed."""

    @abstractmethod
    def _note_read_to(self, partition: TopicPartition, offset: int) -> None:
        """Remember that a partition is read up to an offset, and all of that handled."""

    @abstractmethod
    def _to_tell(self, partition: TopicPartition) -> Committed:
        """Return what the broker is to keep about a placed partition."""

    async def _leave(self) -> None:
        await self._commit()
        self._placed.clear()
        self._to_commit.clear()
        self._unsure.clear()
        self._committed.clear()
        self._topics.clear()
        await self._membership.leave()

    def _forget(self, revoked: Iterable[TopicPartition]) -> None:
        for partition in revoked:
            self._placed.pop(partition, None)
            self._to_commit.discard(partition)
            self._unsure.discard(partition)
            self._committed.pop(partition, None)
            self._topics.forget(partition)
            self._troubles.pop(name_of(partition), None)

    async def _place(self) -> None:
        """Seek in every newly assigned partition to where the group stands.

        So in one whose log lost what is to be read next, or whose topic was made anew, once all
        that was read is handled.
        """
        changed = self._membership.out_of_range | self._topics.made_anew()
        again = {
            tp
            for tp in changed - self._membership.client.paused()
            if tp in self._placed and not self._is_in_hand(tp)
        }
        assigned = dict(self._membership.assigned)
        new = [tp for tp, gen in assigned.items() if self._placed.get(tp) != gen or tp in again]
        if not new:
            return
        await self._commit()
        self._place_again(again)
        positions = await self._positions(new)
        logs = await self._membership.logs(new)
        places = {tp: placement(positions[tp], logs[tp]) for tp in new}
        begins = {
            tp: Position(place.offset, logs[tp].topic_id or _topic_id(positions[tp]))
            for tp, place in places.items()
            if place.offset is not None
        }
        # Before anything is read: what is deleted from here on is known to be missing.
        moves = {tp: (positions[tp], at) for tp, at in begins.items() if positions[tp] != at}
        unnoted = moves.keys() - (await self._note_positions(moves) if moves else ())
        for partition in new:
            if self._membership.assigned.get(partition) != assigned[partition]:
                continue  # it was taken away meanwhile
            if partition in unnoted:
                continue  # it is tried again
            place = places[partition]
            if place.oddity is not None:
                self._alarm(partition, place, positions[partition], logs[partition])
            if place.offset is None:
                self._membership.pause(partition)
                # Without a place of its own it would hold up its neighbours' fetches.
                self._membership.client.seek(partition, logs[partition].begins)
            else:
                self._membership.client.seek(partition, place.offset)
            self._placed[partition] = assigned[partition]
            self._topics.note(partition, logs[partition].topic_id)
            at = begins.get(partition) or positions[partition]
            assert at is not None, "where the group stood nowhere it was placed"
            self._committed[partition] = at.next_offset
            self._note_placed(partition, at)

    def _place_again(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._placed.pop(partition, None)

    async def _commit_now_and_then(self) -> None:
        now = anyio.current_time()
        if now - self._committed_at >= COMMIT_EVERY_SECONDS:
            self._committed_at = now
            await self._note_read()
            self._to_commit |= self._unsure
            await self._commit()

    async def _note_read(self) -> None:
        """Note for the broker how far is read where all that was read is handled.

        That is behind the last message: the mark that ends a transaction has an offset too, and
        who looks at the lag would take it for a message that waits.
        """
        if self._is_stopped:
            return
        before = dict(self._placed)
        for partition, position in (await self._membership.positions()).items():
            generation = self._membership.assigned.get(partition)
            if generation is None or not (
                self._placed.get(partition) == before.get(partition) == generation
            ):
                continue
            if position > self._committed.get(partition, 0) and not self._is_in_hand(partition):
                self._note_read_to(partition, position)
                self._to_commit.add(partition)

    def _stands_at(self, partition: TopicPartition) -> int | None:
        return self._committed.get(partition)

    async def _commit(self) -> None:
        partitions, self._to_commit = self._to_commit, set()
        told = {tp: self._to_tell(tp) for tp in sorted(partitions) if tp in self._placed}
        if not told:
            return
        try:
            taken = await self._membership.commit(told)
        except anyio.get_cancelled_exc_class():
            self._to_commit |= partitions  # to be told when it leaves
            raise
        self._committed |= {tp: told[tp].handled.start for tp in taken if tp in self._placed}
        self._unsure = (self._unsure | told.keys()) - set(taken)

    async def _deliver(self, delivery: Delivery) -> Outcome:
        """Return what became of a delivery.  Raises ``TooManyDeadLetters``: the group stops."""
        outcome = await self._deliverer.deliver(delivery)
        if outcome.fate is Fate.STOP:
            raise TooManyDeadLetters(self._deliverer.stopped)
        return outcome

    @property
    def _is_stopped(self) -> bool:
        """Whether no further message may be handled: others may wait for their turn just now."""
        return self._deliverer.stopped is not None

    def _alarm(
        self, partition: TopicPartition, place: Placement, position: Position | None, log: Log
    ) -> None:
        assert place.oddity is not None
        group = self._subscription.group
        self._logger.critical(
            "position_not_in_the_log",
            group=group,
            partition=name_of(partition),
            oddity=place.oddity.name.lower(),
            position=position and position.next_offset,
            topic_id=_topic_id(position),
            log_begins=log.begins,
            log_ends=log.ends,
            log_topic_id=log.topic_id,
        )
        if place.oddity is Oddity.BEFORE_THE_BEGINNING:
            self._troubles[name_of(partition)] = (
                f"{group} stopped in {name_of(partition)}: retention deleted offsets "
                f"{place.lost.start} to {place.lost.stop}, which were not read; stop the processes "
                f"of {group} and say where to go on: huleedu topics resume {group} "
                f"{partition.topic} --partition {partition.partition} --from start"
            )


def last_offset(records: Sequence[ConsumerRecord]) -> int:
    """Return the offset of the last of some records."""
    offset: int = records[-1].offset
    return offset


def name_of(partition: TopicPartition) -> str:
    """Return what a partition is called in troubles and logs."""
    return f"{partition.topic}[{partition.partition}]"


def _topic_id(position: Position | None) -> str | None:
    return None if position is None else position.topic_id


def _first(faults: BaseExceptionGroup[Unavailable]) -> Unavailable:
    first = faults.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
