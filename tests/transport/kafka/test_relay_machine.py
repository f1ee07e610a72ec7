"""A relay's take-over: processes die, stores are purged, copied, and put back from backups."""

import asyncio
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from huleedu.core.message import Message
from huleedu.store.outbox_identity import read_outbox_id
from huleedu.transport.kafka.steps import Step
from tests.simulation.connection import simulated_library
from tests.support.consumers import CANCELLED, PROCEED
from tests.transport.kafka.outbox_process import (
    OutboxProcess,
    StillBroker,
    copied,
    reading,
)

T = TypeVar("T")

TOPICS = (PROCEED, CANCELLED)
KEYS = (b"a", b"b")
STORES_MAX = 3
DEATHS = [step for step in Step if step not in (Step.BEAT_DUE, Step.BEATEN)]

picks = st.integers(0, 9)
topics, keys, counts = st.sampled_from(TOPICS), st.sampled_from(KEYS), st.integers(1, 4)
topics, keys = st.sampled_from(TOPICS), st.sampled_from(KEYS)


def forget_sent(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM outbox WHERE sent_at IS NOT NULL")


class Row(NamedTuple):
    """A message as it was said; the number is in no other."""

    topic: str
    key: bytes
    number: int

    @property
    def message(self) -> Message:
        return Message(self.topic, self.key, str(self.number).encode(), {"event-id": "the same"})


@dataclass
class File:
    """A store's file, from when it was made or put there."""

    path: Path
    born_as: str
    """The id that its outbox had then."""
    rows: list[Row]
    process: OutboxProcess


@dataclass(frozen=True)
class Backup:
    """A store's file as it was, and what was said until then."""

    path: Path
    rows: Sequence[Row]


class RelayMachine(RuleBasedStateMachine):
    """One broker, and up to three live files that descend from one store."""

    @initialize()
    def start(self) -> None:
        shared_memory = Path("/dev/shm")
        self.folder = TemporaryDirectory(dir=shared_memory if shared_memory.exists() else None)
        self.stack = ExitStack()
        self.stack.enter_context(self.folder)
        self.runner = self.stack.enter_context(asyncio.Runner())
        self.stack.enter_context(simulated_library())
        self.broker = StillBroker()
        self.made = self.said = 0
        self.has_used_a_backup = False
        self.files: list[File] = []
        self.backups: list[Backup] = []
        self.seen: list[int] = []
        """By a read_committed reader, in the order of each partition."""
        self.published_as: dict[int, set[str]] = defaultdict(set)
        """Number of a row → the ids that its outbox had when it was published."""
        self.files.append(self.opened(self.new_path(), []))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def new_path(self) -> Path:
        self.made += 1
        return Path(self.folder.name) / f"{self.made}.db"

    def opened(self, path: Path, rows: Sequence[Row]) -> File:
        process = self.started(path)
        with reading(path) as connection:
            return File(path, read_outbox_id(connection), list(rows), process)

    def started(self, path: Path) -> OutboxProcess:
        process = OutboxProcess(path, self.broker, f"process-{self.made}")
        self.run(process.start())
        return process

    def one_of(self, pick: int) -> File:
        return self.files[pick % len(self.files)]

    @rule(pick=picks, topic=topics, key=keys, count=counts)
    def rows_are_said(self, pick: int, topic: str, key: bytes, count: int) -> None:
        file = self.one_of(pick)
        rows = [Row(topic, key, self.said + number) for number in range(count)]
        self.said += count
        self.run(file.process.say([row.message for row in rows]))
        file.rows += rows

    @rule(pick=picks, topic=topics, key=keys, count=counts)
    def rows_are_said_and_published(self, pick: int, topic: str, key: bytes, count: int) -> None:
        self.rows_are_said(pick, topic, key, count)
        self.publish(self.one_of(pick), None)

    @rule(pick=picks, topic=topics, key=keys, count=counts, step=st.sampled_from(DEATHS))
    def a_process_dies_while_it_publishes(
        self, pick: int, topic: str, key: bytes, count: int, step: Step
    ) -> None:
        self.rows_are_said(pick, topic, key, count)
        self.publish(self.one_of(pick), step)

    @rule(pick=picks)
    def a_process_is_started_anew(self, pick: int) -> None:
        file = self.one_of(pick)
        self.run(file.process.end())
        file.process = self.started(file.path)

    @rule(pick=picks)
    def what_was_sent_is_purged(self, pick: int) -> None:
        self.run(self.one_of(pick).process.database.write(forget_sent))

    @rule(pick=picks)
    def a_backup_is_made(self, pick: int) -> None:
        file, path = self.one_of(pick), self.new_path()
        copied(file.path, path)
        self.backups.append(Backup(path, tuple(file.rows)))

    @precondition(lambda self: self.backups)
    @rule(pick=picks, backup=picks)
    def a_backup_is_put_back(self, pick: int, backup: int) -> None:
        file, chosen = self.one_of(pick), self.backups[backup % len(self.backups)]
        self.run(file.process.end())
        self.files.remove(file)
        self.use(chosen)

    @precondition(lambda self: self.backups and len(self.files) < STORES_MAX)
    @rule(backup=picks)
    def a_copy_is_used_beside_the_others(self, backup: int) -> None:
        self.use(self.backups[backup % len(self.backups)])

    def use(self, backup: Backup) -> None:
        self.has_used_a_backup = True
        path = self.new_path()
        copied(backup.path, path)
        self.files.append(self.opened(path, backup.rows))

    def publish(self, file: File, dies_at: Step | None) -> None:
        self.broker.give_up(all_but=self.outbox_id(file))
        lives = self.run(file.process.publish(dies_at))
        self.read(file, self.outbox_id(file))
        if not lives:
            file.process = self.started(file.path)

    def outbox_id(self, file: File) -> str:
        with reading(file.path) as connection:
            return read_outbox_id(connection)

    @invariant()
    def nobody_is_alarmed_without_need(self) -> None:
        if len(self.files) == 1 and not self.has_used_a_backup:
            (file,) = self.files
            assert self.outbox_id(file) == file.born_as

    def read(self, file: File, outbox_id: str) -> None:
        """Note what is to be seen now, and that this file has published it."""
        before = Counter(self.seen)
        self.seen = [int(record.value) for _, record in self.broker.read()]
        for number in (Counter(self.seen) - before).elements():
            known = {file.born_as, outbox_id} & self.published_as[number]
            assert not known, f"row {number} is published twice, and {known} told so"
            self.published_as[number].add(outbox_id)

    def teardown(self) -> None:
        if not hasattr(self, "files"):
            return
        try:
            for _ in range(2):  # those that are fenced meanwhile go on under an id of their own
                for file in self.files:
                    self.publish(file, None)
            for file in self.files:
                self.check(file)
        finally:
            for file in self.files:
                self.run(file.process.end())
            self.stack.close()

    def check(self, file: File) -> None:
        """Every row that the file was given is read, in order per key."""
        assert {row.number for row in file.rows} <= set(self.seen)
        for topic in TOPICS:
            for key in KEYS:
                mine = [row.number for row in file.rows if (row.topic, row.key) == (topic, key)]
                order = dict.fromkeys(n for n in self.seen if n in set(mine))
                assert list(order) == mine


RelayMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestRelay = RelayMachine.TestCase
