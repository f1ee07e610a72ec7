"""Row 7: the broker is killed, connections are cut and producers spoilt while rows are sent."""

import os
import socket
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
from aiokafka import AIOKafkaProducer, TopicPartition

from huleedu.core.errors import BrokerUnavailable
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.store.database import Database
from huleedu.store.outbox_identity import read_outbox_id
from huleedu.transport.kafka import producer as publishing
from huleedu.transport.kafka import producing, transactions
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.position import transactional_id
from huleedu.transport.kafka.producer import IdempotentPublisher
from huleedu.transport.kafka.relay import KafkaRelay
from huleedu.transport.kafka.steps import Step
from tests.faults.ground import Ground, Outcome, new_prefix, tell
from tests.support.eventually import eventually
from tests.support.kafka_topics import create_topic
from tests.transport.kafka.relay_support import drained, make_position_topic, opened, read, say

DURING = (Step.BEGUN, Step.ROW_SENT, Step.ROWS_ACKNOWLEDGED, Step.POSITION_SENT)
KEYS = [b"k%d" % number for number in range(5)]
RECOVERED_SECONDS_MAX = 5.0
STUCK_SECONDS = 60.0


class Trial:
    """An outbox that is relayed and a publisher without one, both at work all the time."""

    def __init__(self, ground: Ground, store: Database, prefix: str) -> None:
        self._ground = ground
        self._store = store
        self._servers = ground.broker.bootstrap_servers
        self.topics = (f"{prefix}relayed", f"{prefix}published")
        self.producers: list[AIOKafkaProducer] = []
        self._planned: str | None = None
        self._befallen = anyio.Event()
        self._settled_at = 0.0
        self.said: list[str] = []
        self.acknowledged: list[str] = []
        self.unknown: Counter[str] = Counter()
        self.recovery: dict[str, list[float]] = {}

    async def write(self) -> None:
        """Add rows to the outbox."""
        while True:
            several = [self._numbered(self.topics[0], len(self.said) + n) for n in range(4)]
            with anyio.CancelScope(shield=True):
                await say(self._store, several)
            self.said += [message.event_id for message in several]
            await anyio.sleep(self._ground.chance.uniform(0.002, 0.02))

    async def publish(self) -> None:
        """Publish without an outbox, each message until it is acknowledged."""
        publisher = IdempotentPublisher(KafkaConnection(self._servers), Platform())
        number = 0
        try:
            while True:
                message = self._numbered(self.topics[1], number)
                try:
                    await publisher.publish([message])
                except BrokerUnavailable:
                    self.unknown[message.event_id] += 1
                    await anyio.sleep(0.05)
                    continue
                self.acknowledged.append(message.event_id)
                number += 1
                await anyio.sleep(0.01)
        finally:
            with anyio.CancelScope(shield=True):
                await publisher.close()

    def _numbered(self, topic: str, number: int) -> Message:
        return Message(topic, KEYS[number % len(KEYS)], b"%d" % number, {"event-id": str(number)})

    async def at(self, step: Step) -> None:
        """Have the planned fault befall the relay, in the midst of a transaction."""
        if self._planned is None or step not in DURING or self._ground.chance.random() < 0.6:
            return
        fault, self._planned = self._planned, None
        if fault == "killed":
            self._ground.broker.kill()
        elif fault == "cut":
            cut_connections(self._ground.broker.port)
        elif fault == "gap":
            for producer in self.producers:
                spoil(producer, self.topics)
        self._befallen.set()

    async def hurt(self, fault: str) -> None:
        """Have a fault befall the relay, and return when new rows are published again."""
        self._befallen = anyio.Event()
        self._planned = fault
        if fault == "fenced":
            self._planned = None
            await self._fence()
        else:
            with anyio.fail_after(STUCK_SECONDS):
                await self._befallen.wait()
        if fault == "killed":
            await anyio.to_thread.run_sync(self._ground.broker.start)
        began = anyio.current_time()
        goal = len(self.said) + 1
        query = "SELECT count(*) FROM outbox WHERE id >= ? AND sent_at IS NOT NULL"

        async def published() -> int:
            ((rows,),) = await self._store.read(lambda db: db.execute(query, (goal,)).fetchall())
            return int(rows)

        await eventually(published, bool, STUCK_SECONDS)
        self.recovery.setdefault(fault, []).append(anyio.current_time() - began)

    async def _fence(self) -> None:
        name = transactional_id(await self._store.read(read_outbox_id))
        other = AIOKafkaProducer(bootstrap_servers=self._servers, transactional_id=name)
        await other.start()
        await other.stop()

    async def broken(self) -> list[str]:
        """Return what is wrong with what can be read in the end."""
        await drained(self._store, STUCK_SECONDS)
        relayed = [m.event_id for m in await read(self._servers, self.topics[0])]
        counted = Counter(m.event_id for m in await read(self._servers, self.topics[1]))
        wanted = Counter(self.said)
        lost, more = wanted - Counter(relayed), Counter(relayed) - wanted
        unsaid = [one for one in self.acknowledged if not counted[one]]
        repeated = [one for one in counted if counted[one] > 1 + self.unknown[one]]
        found = [
            (sum(lost.values()), f"rows of the outbox are lost: {_some(lost)}"),
            (sum(more.values()), f"rows of the outbox are there twice: {_some(more)}"),
            (int(not (lost or more) and relayed != self.said), "orders differ"),
            (len(unsaid), "acknowledged messages are lost"),
            (len(repeated), "messages are there more often than they were tried"),
        ]
        return [f"{count} {what}" for count, what in found if count]


def _some(ids: Iterable[str]) -> str:
    return ", ".join(sorted(ids, key=int)[:20])


async def unknown_outcomes(ground: Ground, killed: int, cut: int, fenced: int, gap: int) -> Outcome:
    """Have so many faults of each kind befall a relay and a publisher, in random order."""
    faults = ["killed"] * killed + ["cut"] * cut + ["fenced"] * fenced + ["gap"] * gap
    ground.chance.shuffle(faults)
    servers = ground.broker.bootstrap_servers
    async with opened(ground.directory / "outbox.db") as store:
        trial = Trial(ground, store, new_prefix())
        await make_position_topic(servers)
        for topic in trial.topics:
            await create_topic(servers, topic, partitions=1)
        relay = KafkaRelay(store, KafkaConnection(servers), Platform(), "one", at=trial.at)
        async with anyio.create_task_group() as tasks:
            with noted(trial.producers):
                tasks.start_soon(relay.run)
                async with anyio.create_task_group() as work:
                    work.start_soon(trial.write)
                    work.start_soon(trial.publish)
                    for number, fault in enumerate(faults, 1):
                        await trial.hurt(fault)
                        if number % 20 == 0:
                            tell(f"{number}/{len(faults)} faults, {len(trial.said):,} rows")
                    work.cancel_scope.cancel()
                broken = await trial.broken()
            tasks.cancel_scope.cancel()
    slowest = {fault: max(seconds) for fault, seconds in trial.recovery.items()}
    broken += [
        f"{fault}: publishing again only after {seconds:.1f} s"
        for fault, seconds in slowest.items()
        if seconds > RECOVERED_SECONDS_MAX
    ]
    told = ", ".join(f"{fault} {seconds:.1f} s" for fault, seconds in sorted(slowest.items()))
    return Outcome(
        f"{killed} broker kills during a send, {cut} cuts of all connections, {fenced} fenced "
        f"producers, {gap} gaps in the sequence",
        [
            f"{len(trial.said):,} rows relayed, {len(trial.acknowledged):,} messages published, "
            f"{sum(trial.unknown.values())} unknown outcomes",
            f"rows flowed again after at most: {told}",
        ],
        broken,
    )


def cut_connections(port: int) -> None:
    """Cut every connection of this process to a port, as a network does."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        number = int(entry.name)
        try:
            is_socket = stat.S_ISSOCK(os.fstat(number).st_mode)
        except OSError:
            continue  # closed meanwhile
        if is_socket:
            with socket.socket(fileno=os.dup(number)) as held:
                _cut_if_to(held, port)


def _cut_if_to(held: socket.socket, port: int) -> None:
    if held.family not in (socket.AF_INET, socket.AF_INET6):
        return
    try:
        if held.getpeername()[1] == port:
            held.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is not connected


def spoil(producer: AIOKafkaProducer, topics: Sequence[str]) -> None:
    """Let the producer leave a gap in its numbers: the broker then refuses what follows."""
    manager = producer._txn_manager
    if manager is not None and producer._sender.sender_task is not None:
        for topic in topics:
            manager.increment_sequence_number(TopicPartition(topic, 0), 7)


@contextmanager
def noted(producers: list[AIOKafkaProducer]) -> Iterator[None]:
    """Note the producers that are started meanwhile, the last ones of them."""
    modules = (transactions, publishing)

    async def started(connection: KafkaConnection, **options: Any) -> AIOKafkaProducer:
        producer = await producing.started(connection, **options)
        producers[:] = [*producers[-2:], producer]
        return producer

    for module in modules:
        setattr(module, "started", started)  # noqa: B010 - they do not export it
    try:
        yield
    finally:
        for module in modules:
            setattr(module, "started", producing.started)  # noqa: B010
