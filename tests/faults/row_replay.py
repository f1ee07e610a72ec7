"""Row 9: dead letters replayed twice over a broker, to a real els-worker."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from huleedu.core.errors import MalformedMessage
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.transport.dead_letter_box import DeadLetter, Wanted, settle
from huleedu.transport.failures import dead_letter, dead_letter_cause
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.dead_letter_box import KafkaDeadLetterBox
from tests.faults.ground import (
    Ground,
    Outcome,
    Told,
    count,
    deployed,
    new_prefix,
    rows,
    stop_roles,
    tell,
    until_count,
)
from tests.faults.load import ESSAYS, contents, published, renamed
from tests.faults.log_check import read_topics, topics_of
from tests.support.builders import registered
from tests.support.deployment import Deployment
from tests.support.eventually import eventually

HOPELESS_IN = 50
"""One letter in so many fails again whenever it is replayed; were it more, the group would stop."""
STUCK_SECONDS = 120.0
HANDLED = "SELECT coalesce(sum(next_offset), 0) FROM position WHERE topic = ?"
NOT_STATE = ("outbox", "position", "handled", "lease", "sqlite", "migration", "seen")


class Replays:
    """An els-worker, and dead letters that its group is said to have set aside."""

    def __init__(self, ground: Ground, deployment: Deployment, data: Path) -> None:
        self._servers = ground.broker.bootstrap_servers
        self._chance = ground.chance
        self._topics = topics_of(deployment)
        self._content = self._topics["ESSAY_CONTENT_READY"]
        self._group = deployment.environment["ESSAY_LIFECYCLE_SERVICE_CONSUMER_GROUP"]
        self._data = data
        self.letters = 0
        self.hopeless = 0

    async def put(self, batches: int) -> None:
        """Register the batches; make dead letters of their texts, some of them without sense."""
        ids = [f"batch-{number}" for number in range(batches)]
        essays = [f"e{number:02}" for number in range(ESSAYS)]
        topic = self._topics["BATCH_ESSAYS_REGISTERED"]
        await published(
            self._servers, [renamed(registered(one, essays), topic) for one in ids], 0.0
        )
        said: list[Message] = []
        for number, message in enumerate(contents(ids, self._content, self._chance, ordered=True)):
            said.append(self._letter(message))
            if number % (HOPELESS_IN - 1) == 1:
                headers = {"event-id": f"hopeless-{number}", "owner": "somebody"}
                bad = Message(self._content, message.key, b"{}", headers)
                said.append(self._letter(bad))
                self.hopeless += 1
        self.letters = len(said)
        await published(self._servers, said, 0.0)

    def _letter(self, message: Message) -> Message:
        fault, now = MalformedMessage("not as it should be"), Platform().clock.now()
        return dead_letter(message, dead_letter_cause(fault, message, self._group, 1, now))

    async def found(self) -> list[DeadLetter]:
        """Return the dead letters that are there."""
        async with (
            KafkaDeadLetterBox.opened(
                KafkaConnection(self._servers), Platform(), [self._content]
            ) as box,
            aclosing(box.letters(Wanted(settled_too=True))) as letters,
        ):
            return [letter async for letter in letters]

    async def replay(self, letters: Sequence[DeadLetter], wanted: int) -> int:
        """Replay these; return how many were, once handled, with ``wanted`` letters there."""
        ids = frozenset(letter.id for letter in letters)
        async with KafkaDeadLetterBox.opened(
            KafkaConnection(self._servers), Platform(), [self._content]
        ) as box:
            meant = Wanted(ids=ids, settled_too=True)
            before = count(self._data / "els.db", HANDLED, self._content)
            done = await settle(box, meant, box.replay, lambda _: None)
        await until_count(
            lambda: count(self._data / "els.db", HANDLED, self._content),
            before + done,
            STUCK_SECONDS,
        )
        await eventually(self.found, lambda seen: len(seen) >= wanted, STUCK_SECONDS)
        return done

    async def ready(self) -> Sequence[tuple[bytes, str]]:
        """Return what was said of batches that are ready."""
        topic = self._topics["BATCH_ESSAYS_READY"]
        seen = (await read_topics(self._servers, [topic]))[topic]
        return sorted((one.key, one.event_id) for one in seen)

    def state(self) -> str:
        """Return a digest of all that ELS knows of batches and essays."""
        store, digest = self._data / "els.db", hashlib.sha256()
        for table in _tables(store):
            for row in sorted(map(repr, rows(store, f"SELECT * FROM {table}"))):
                digest.update(row.encode())
        return digest.hexdigest()


async def replayed_twice(ground: Ground, batches: int) -> Outcome:
    """Replay all dead letters of so many batches twice, and those that failed again once more."""
    async with deployed(ground, "replays", new_prefix()) as (deployment, data):
        worker = deployment.start("els-worker")
        await Told(worker, ever=True).until("partitions_assigned")
        trial = Replays(ground, deployment, data)
        await trial.put(batches)
        first = await eventually(trial.found, lambda seen: len(seen) == trial.letters, 60)
        told = [await trial.replay(first, trial.letters + trial.hopeless)]
        await eventually(trial.ready, lambda seen: len(seen) >= batches, STUCK_SECONDS)
        state, ready = trial.state(), await trial.ready()
        told.append(await trial.replay(first, trial.letters + 2 * trial.hopeless))
        waiting = [one for one in await trial.found() if one.settlement is None]
        told.append(await trial.replay(waiting, trial.letters + 4 * trial.hopeless))
        last = [one for one in await trial.found() if one.settlement is None]
        broken = []
        if trial.state() != state:
            broken.append("the state of ELS is another after the second replay")
        if await trial.ready() != ready or len(ready) != batches:
            broken.append(f"{len(await trial.ready())} batches told ready instead of {batches}")
        broken += stop_roles(deployment)
    broken += _history(first, waiting, last)
    wanted = [trial.letters, trial.letters, 2 * trial.hopeless]
    if told != wanted:
        broken.append(f"replayed {told} instead of {wanted}")
    tell(f"replayed {told}")
    generations = (first, waiting, last)
    headers = [max(map(_header_bytes, several)) for several in generations]
    return Outcome(
        f"{trial.letters:,} dead letters replayed twice, {trial.hopeless} of them fail each time "
        "and are replayed once more",
        [
            f"{len(ready)} batches ready, the state of ELS the same after each replay",
            f"bytes of headers at most: {headers[0]} at first, then {headers[1]} and {headers[2]}; "
            f"attempts at most: {', '.join(str(_attempts(one)) for one in generations)}",
        ],
        broken,
    )


def _tables(store: Path) -> Sequence[str]:
    named = rows(store, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [str(name) for (name,) in named if not any(part in str(name) for part in NOT_STATE)]


def _history(
    first: Sequence[DeadLetter], second: Sequence[DeadLetter], third: Sequence[DeadLetter]
) -> list[str]:
    began = {one.message.key: one.cause("first-failed-at") for one in first}
    names = {name for one in first for name in one.message.headers}
    allowed = {"dead-letter-replays", "dead-letter-origin-partition", "dead-letter-origin-offset"}
    found = []
    for generation, letters in ((1, second), (2, third)):
        for one in letters:
            if int(one.cause("attempts") or 0) != 1 + generation:
                found.append(f"attempts {one.cause('attempts')} after {generation} replays")
            if one.cause("replays") != str(generation):
                found.append(f"replays {one.cause('replays')} after {generation} replays")
            if one.cause("first-failed-at") is None or not began:
                found.append("when it failed first is forgotten")
            if one.message.headers.keys() - names - allowed:
                found.append(f"headers grew: {sorted(one.message.headers.keys() - names)}")
            if one.message.value != b"{}" or one.message.headers.get("owner") != "somebody":
                found.append("value or headers are not the original ones")
    if len({_header_names(one) for one in (*second, *third)}) != 1:
        found.append("headers differ from replay to replay")
    return found


def _header_names(letter: DeadLetter) -> Sequence[str]:
    return tuple(sorted(letter.message.headers))


def _header_bytes(letter: DeadLetter) -> int:
    headers: Mapping[str, str] = letter.message.headers
    return sum(len(name) + len(value) for name, value in headers.items())


def _attempts(letters: Sequence[DeadLetter]) -> int:
    return max(int(one.cause("attempts") or 0) for one in letters)
