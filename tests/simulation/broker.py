"""A broker as Kafka promises one: logs, transactions, consumer groups.

What fails of it is what a lone Kafka does when it comes back: a transaction that has ended may have
no marker in some of its partitions, and then readers of them wait.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from zlib import crc32

from aiokafka import OffsetAndMetadata, TopicPartition

from huleedu.core.topics import TOPICS, dead_letter_topic
from tests.simulation.loop import WORLD, SimulatedLoop, in_realm

if TYPE_CHECKING:
    from tests.simulation.consumer import SimulatedConsumer

PARTITIONS = 2
SESSION_SECONDS = 1.5
REBALANCE_SECONDS = 3.0


class Fate(Enum):
    """What becomes of a transaction."""

    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


Participant: TypeAlias = TopicPartition | str
"""What takes part in a transaction: partitions, and groups with their offsets."""


@dataclass
class Transaction:
    """Records and offsets that show together or not at all."""

    fate: Fate = Fate.OPEN
    """As the coordinator has recorded it."""
    partitions: set[TopicPartition] = field(default_factory=set)
    offsets: dict[str, dict[TopicPartition, OffsetAndMetadata]] = field(default_factory=dict)
    marked: dict[Participant, Fate] = field(default_factory=dict)
    """What each participant was told by a marker: by one of this transaction, or a later one."""

    def fate_in(self, participant: Participant) -> Fate:
        """Return what a participant takes for the transaction's fate."""
        return self.marked.get(participant, Fate.OPEN)


class Stored(NamedTuple):
    """What lies at one offset; without a value it is the mark that ends a transaction."""

    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    transaction: Transaction | None


class Record(NamedTuple):
    """A record as a consumer gets it."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Group:
    """The members of a consumer group, and who reads which partitions."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self.members: dict[int, SimulatedConsumer] = {}
        self.offsets: dict[TopicPartition, int] = {}
        self.beside: dict[TopicPartition, str] = {}
        """The text that was committed with an offset."""
        self.generation = 0
        self._missing: set[int] = set()

    def join(self, consumer: "SimulatedConsumer") -> None:
        """Take a member in; everybody is given partitions anew."""
        self.members[consumer.number] = consumer
        self.rebalance()

    def leave(self, number: int) -> None:
        """Let a member go, told or found dead; everybody else is given partitions anew."""
        self._missing.discard(number)
        if self.members.pop(number, None) is not None and self.members:
            self.rebalance()

    def rebalance(self) -> None:
        """Have every member give up its partitions; those that do not in time are left out."""
        self.generation += 1
        self._missing = set(self.members)
        for member in list(self.members.values()):
            member.must_rejoin()
        generation = self.generation

        def out_of_time() -> None:
            if self.generation == generation and self._missing:
                for number in sorted(self._missing):
                    self.members.pop(number).is_kicked = True
                self.rebalance()

        self._broker.later(REBALANCE_SECONDS, out_of_time)

    def has_given_up(self, number: int) -> None:
        """Note that a member reads nothing; the last one has the partitions given out."""
        if number not in self._missing:
            return
        self._missing.discard(number)
        if not self._missing:
            self._give_out()

    def _give_out(self) -> None:
        members = [self.members[number] for number in sorted(self.members)]
        shares: dict[int, set[TopicPartition]] = {member.number: set() for member in members}
        partitions = sorted({tp for m in members for tp in self._broker.partitions(m.topics)})
        for index, partition in enumerate(partitions):
            shares[members[index % len(members)].number].add(partition)
        for member in members:
            member.be_given(shares[member.number], self.generation)


class Broker:
    """Every topic of the contract, and what is kept of those who read and write."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.logs: dict[TopicPartition, list[Stored]] = {
            TopicPartition(name, number): []
            for topic in TOPICS.values()
            for name in (topic.name, dead_letter_topic(topic.name))
            for number in range(PARTITIONS)
        }
        self.groups: dict[str, Group] = defaultdict(lambda: Group(self))
        self.epochs: dict[str, int] = defaultdict(int)
        self.open: dict[str, Transaction] = {}
        self.recorded: dict[str, Fate] = {}
        """Transactional id → how its last transaction ends, until a producer starts."""
        self.unmarked: dict[str, list[Transaction]] = defaultdict(list)
        """Those that have ended and of which a participant does not know so."""
        self._consumers = 0

    def number(self) -> int:
        """Return a number for a new member."""
        self._consumers += 1
        return self._consumers

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something in a while, whoever lives then."""
        in_realm(WORLD, lambda: self._loop.call_later(seconds, act))

    def partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Return the partitions of topics."""
        return [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]

    def append(
        self,
        topic: str,
        key: bytes,
        value: bytes,
        headers: tuple[tuple[str, bytes], ...],
        transaction: Transaction | None,
    ) -> None:
        """Write a record where its key belongs."""
        partition = TopicPartition(topic, crc32(key) % PARTITIONS)
        self.logs[partition].append(Stored(key, value, headers, transaction))
        if transaction is None:
            self._wake()
        else:
            transaction.partitions.add(partition)

    def end(
        self, name: str, transaction: Transaction, fate: Fate, told: Callable[[], bool]
    ) -> None:
        """Commit or abort: what lies behind it may be read now.

        ``told`` is asked, for each participant, whether it gets its marker.
        """
        if transaction.fate is not Fate.OPEN:
            return
        transaction.fate = self.recorded[name] = fate
        older = self.unmarked[name]
        older.append(transaction)
        for participant in [*sorted(transaction.partitions), *sorted(transaction.offsets)]:
            if told():
                self._mark(participant, transaction, older, fate)
        self.unmarked[name] = [one for one in older if _participants(one) - one.marked.keys()]
        self._wake()

    def _mark(
        self,
        participant: Participant,
        transaction: Transaction,
        pending: Sequence[Transaction],
        fate: Fate,
    ) -> None:
        """Have a participant know the fate; it takes it for that of all that it knows as open."""
        if isinstance(participant, TopicPartition):
            self.logs[participant].append(Stored(b"", None, (), transaction))
        for one in pending:
            if participant in _participants(one) - one.marked.keys():
                one.marked[participant] = fate
                if isinstance(participant, str) and fate is Fate.COMMITTED:
                    self._move(self.groups[participant], one.offsets[participant])

    def _move(self, group: Group, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        group.offsets |= {tp: one.offset for tp, one in offsets.items()}
        group.beside |= {tp: one.metadata for tp, one in offsets.items()}

    def is_unstable(self, group: str) -> bool:
        """Tell whether a group has offsets of a transaction of whose end it does not know."""
        return any(
            group in one.offsets and group not in one.marked
            for several in self.unmarked.values()
            for one in several
        )

    def stable_end(self, partition: TopicPartition) -> int:
        """Return the offset up to which a read_committed reader may read."""
        log = self.logs[partition]
        for offset, stored in enumerate(log):
            if stored.transaction and stored.transaction.fate_in(partition) is Fate.OPEN:
                return offset
        return len(log)

    def hidden(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return those of which a read_committed reader is not shown all, and up to where it is."""
        shown = {tp: self.stable_end(tp) for tp in partitions}
        return {tp: end for tp, end in shown.items() if end < len(self.logs[tp])}

    def visible(
        self, partition: TopicPartition, offset: int, most: int
    ) -> tuple[list[Record], int]:
        """Return what a read_committed reader gets from here on, and where it reads next."""
        log = self.logs[partition]
        found: list[Record] = []
        while offset < len(log) and len(found) < most:
            key, value, headers, transaction = log[offset]
            fate = Fate.COMMITTED if transaction is None else transaction.fate_in(partition)
            if fate is Fate.OPEN:
                break
            if value is not None and fate is Fate.COMMITTED:
                record = Record(partition.topic, partition.partition, offset, key, value, headers)
                found.append(record)
            offset += 1
        return found, offset

    def all_visible(self) -> Mapping[TopicPartition, list[Record]]:
        """Return everything that a reader from the beginning would get."""
        return {tp: self.visible(tp, 0, len(log))[0] for tp, log in self.logs.items()}

    def _wake(self) -> None:
        for group in self.groups.values():
            for member in group.members.values():
                member.wake()


def _participants(transaction: Transaction) -> set[Participant]:
    return {*transaction.partitions, *transaction.offsets}
