"""What both kinds of consumers share: joining again and again, placing, failing, troubles."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import anyio
from aiokafka import ConsumerRecord, TopicPartition
from anyio.abc import TaskGroup

from huleedu.core.errors import TooManyDeadLetters, Unavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.transport.delivering import Deliverer, Fate, Outcome
from huleedu.transport.failures import pause_seconds
from huleedu.transport.kafka.lag_gauge import LagGauge
from huleedu.transport.kafka.membership import Membership
from huleedu.transport.kafka.placement import Oddity, placement
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
        self._began: dict[TopicPartition, int] = {}
        self._to_commit: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._committed_at = 0.0
        self._troubles: dict[str, str] = {}
        self._deliverer = Deliverer(subscription, platform)
        self._watchdog = Watchdog(membership, subscription.group, self._is_busy, watchdog_seconds)
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
        """Return what keeps messages from being handled."""
        stopped = [self._deliverer.stopped] if self._deliverer.stopped is not None else []
        waiting = self._deliverer.held_up()
        told = [*stopped, *self._troubles.values(), *waiting, *self._watchdog.troubles()]
        if told or self._membership.has_joined:
            return told
        return [f"{self._subscription.group} has not joined yet"]

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
    ) -> Mapping[TopicPartition, int | None]:
        """Return where the group stands in these partitions."""

    @abstractmethod
    def _note_placed(self, partition: TopicPartition, position: int | None) -> None:
        """Remember where the group stands in a partition that was just placed."""

    async def _leave(self) -> None:
        await self._commit()
        self._placed.clear()
        self._to_commit.clear()
        self._committed.clear()
        await self._membership.leave()

    def _forget(self, revoked: Iterable[TopicPartition]) -> None:
        for partition in revoked:
            self._placed.pop(partition, None)
            self._to_commit.pop(partition, None)
            self._committed.pop(partition, None)
            self._troubles.pop(_name(partition), None)

    async def _place(self) -> None:
        """Seek in every newly assigned partition to where the group stands.

        So in one whose log lost what is to be read next, once all that was read is handled.
        """
        for partition in self._membership.out_of_range - self._membership.client.paused():
            if partition in self._placed and not self._is_in_hand(partition):
                self._placed.pop(partition)
        assigned = dict(self._membership.assigned)
        new = [tp for tp, generation in assigned.items() if self._placed.get(tp) != generation]
        if not new:
            return
        await self._commit()
        positions = await self._positions(new)
        limits = await self._membership.limits(new)
        for partition in new:
            if self._membership.assigned.get(partition) != assigned[partition]:
                continue  # it was taken away meanwhile
            # Where nothing was handled yet the group stands where it began to read.
            position = positions[partition]
            position = self._began.get(partition) if position is None else position
            place = placement(position, *limits[partition])
            if place.oddity is not None:
                self._alarm(partition, place.oddity, position, limits[partition])
            if place.offset is None:
                self._membership.pause(partition)
                # Without a place of its own it would hold up its neighbours' fetches.
                self._membership.client.seek(partition, limits[partition][0])
            else:
                self._membership.client.seek(partition, place.offset)
                self._began[partition] = place.offset
            self._placed[partition] = assigned[partition]
            self._note_placed(partition, positions[partition])

    def _place_again(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._placed.pop(partition, None)

    async def _commit_now_and_then(self) -> None:
        now = anyio.current_time()
        if now - self._committed_at >= COMMIT_EVERY_SECONDS:
            self._committed_at = now
            await self._note_read()
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
                self._to_commit[partition] = position

    def _stands_at(self, partition: TopicPartition) -> int | None:
        return self._committed.get(partition, self._began.get(partition))

    async def _commit(self) -> None:
        offsets, self._to_commit = self._to_commit, {}
        if not offsets:
            return
        try:
            self._committed |= await self._membership.commit(offsets)
        except anyio.get_cancelled_exc_class():
            self._to_commit = offsets | self._to_commit  # to be told when it leaves
            raise

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
        self,
        partition: TopicPartition,
        oddity: Oddity,
        position: int | None,
        limits: tuple[int, int],
    ) -> None:
        self._logger.critical(
            "position_not_in_the_log",
            group=self._subscription.group,
            partition=_name(partition),
            oddity=oddity.name.lower(),
            position=position,
            log_begins=limits[0],
            log_ends=limits[1],
        )
        if oddity is Oddity.BEFORE_THE_BEGINNING:
            self._troubles[_name(partition)] = (
                f"{self._subscription.group} stopped in {_name(partition)}: retention deleted "
                f"offsets {position} to {limits[0]}, which were not read"
            )


def last_offset(records: Sequence[ConsumerRecord]) -> int:
    """Return the offset of the last of some records."""
    offset: int = records[-1].offset
    return offset


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"


def _first(faults: BaseExceptionGroup[Unavailable]) -> Unavailable:
    first = faults.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
