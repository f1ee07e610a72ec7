"""``huleedu topics resume`` on a real broker, as somebody uses it whose partition has stopped."""

import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu import els
from huleedu.core.errors import Conflict
from huleedu.core.settings import Settings
from huleedu.store.database import Database
from huleedu.store.positions import Position
from huleedu.transport.kafka.resuming import resumption
from huleedu.transport.protocol import Delivery
from tests.support.consumers import PROCEED, Recorder
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.transport.bus import group, raw, until
from tests.transport.kafka.bus import KafkaBus
from tests.transport.kafka.members import Member, publish
from tests.transport.kafka.test_lost_messages import delete_before

kafka = pytest.mark.kafka
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
WITH_STORE = str(Settings().els.consumer_group)
WITHOUT_STORE = str(Settings().spellcheck.consumer_group)


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class School:
    """A deployment's data directory and broker, and a command line beside them."""

    def __init__(self, bus: KafkaBus, data_dir: Path) -> None:
        self.bus = bus
        self.data_dir = data_dir

    @property
    def options(self) -> list[str]:
        servers = self.bus.connection.bootstrap_servers
        return ["--data-dir", str(self.data_dir), "--kafka-bootstrap-servers", servers]

    async def run(self, *arguments: object) -> Ran:
        command = [sys.executable, "-m", "huleedu", *map(str, arguments), *self.options]
        done = await anyio.run_process(command, check=False)
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    async def resume(self, *arguments: object) -> Any:
        """Return what ``--json`` prints."""
        ran = await self.run("topics", "resume", *arguments, "--yes", "--json")
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    def member(self, name: str, store: Database | None) -> tuple[Member, Recorder]:
        async def advance(delivery: Delivery) -> None:
            if store is not None:
                await store.write(delivery.progress.advance)

        recorder = Recorder(advance)
        return Member(self.bus, replace(group(name, recorder), concurrency=4), store), recorder


@pytest.fixture
async def school(
    anyio_backend: str, broker: KafkaBroker | ForeignBroker, tmp_path: Path
) -> AsyncIterator[School]:
    bus = KafkaBus(broker.bootstrap_servers, tmp_path, partitions=1)
    await bus.open()
    yield School(bus, tmp_path)
    await bus.close()


@pytest.fixture
async def store(school: School) -> AsyncIterator[Database]:
    store = Database(school.data_dir / "els.db", els.MIGRATIONS, school.bus.platform.hops)
    await store.open()
    yield store
    await store.close()


async def stopped(school: School, name: str, store: Database | None) -> None:
    """Have a group join, be away while three messages come, and lose the first two of them."""
    first, _ = school.member(name, store)
    async with first.running():
        await until(lambda: first.group._placed == first.membership.assigned)
    await publish(school.bus, [raw("a", number) for number in range(3)])
    await delete_before(school.bus, 2)


@kafka
@pytest.mark.parametrize("has_store", [True, False])
async def test_what_the_trouble_says_is_what_helps(
    school: School, store: Database, has_store: bool
) -> None:
    """A partition has stopped; the command that it names, given while the group runs, says so; once
    the group is stopped it shows what is lost, and the group goes on with what is left."""
    name, kept = (WITH_STORE, store) if has_store else (WITHOUT_STORE, None)
    await stopped(school, name, kept)
    member, _ = school.member(name, kept)
    async with member.running():
        await until(lambda: bool(member.group.troubles()))
        (trouble,) = member.group.troubles()
        named = re.search(r"huleedu (topics resume .*)", trouble)
        assert named is not None
        refused = await school.run(*named[1].split(), "--yes")
    (shown,) = await school.resume(*named[1].split()[2:])
    again, recorder = school.member(name, kept)
    async with again.running():
        await until(lambda: bool(recorder.handled))
        assert again.group.troubles() == []

    assert (refused.code, refused.out) == (1, "")
    assert "runs" in refused.err
    assert {key: shown[key] for key in ("stood_at", "goes_on_at", "deleted", "skipped")} == {
        "stood_at": 0,
        "goes_on_at": 2,
        "deleted": 2,
        "skipped": 0,
    }
    assert recorder.values() == [b"a-2"]


@kafka
@pytest.mark.parametrize("has_store", [True, False])
async def test_a_group_goes_on_where_it_is_told(
    school: School, store: Database, has_store: bool
) -> None:
    """Any position can be moved: back, so that messages are handled again; on, so that they are
    not; and to where the topic ends.  Nothing is moved before somebody has said yes."""
    name, kept = (WITH_STORE, store) if has_store else (WITHOUT_STORE, None)
    await publish(school.bus, [raw("a", number) for number in range(4)])
    first, heard = school.member(name, kept)
    async with first.running():
        await until(lambda: len(heard.handled) == 4)
    asked = await school.run("topics", "resume", name, PROCEED, "--from", 0)
    (back,) = await school.resume(name, PROCEED, "--from", 1)
    second, heard = school.member(name, kept)
    async with second.running():
        await until(lambda: len(heard.handled) == 3)
    assert heard.values() == [b"a-1", b"a-2", b"a-3"]
    await publish(school.bus, [raw("a", 4)])
    (on,) = await school.resume(name, PROCEED, "--from", "now", "--partition", 0)
    third, heard = school.member(name, kept)
    async with third.running():
        await publish(school.bus, [raw("a", 5)])
        await until(lambda: bool(heard.handled))

    assert heard.values() == [b"a-5"]
    assert asked.code == 1
    assert "Read again" in asked.out
    assert (back["read_again"], back["skipped"]) == (3, 0)
    assert (on["read_again"], on["skipped"]) == (0, 1)


@kafka
async def test_what_cannot_be_meant_is_refused(school: School, store: Database) -> None:
    """A group, topic, partition or offset that is not there changes nothing, and is named."""
    for arguments, code, word in [
        ((WITH_STORE, "nonsense", "--from", "start"), 1, "nonsense"),
        ((WITH_STORE, PROCEED, "--from", "start", "--partition", 7), 1, "partition 7"),
        ((WITH_STORE, PROCEED, "--from", 9), 1, "9 is not there"),
        ((WITH_STORE, PROCEED, "--from", "yesterday"), 2, "yesterday"),
        (("nonsense", PROCEED, "--from", "start"), 2, WITH_STORE),
    ]:
        ran = await school.run("topics", "resume", *arguments, "--yes")
        assert (ran.code, ran.out) == (code, "")
        assert word in ran.err


ids = st.sampled_from([None, "a", "b"])


@given(
    st.none() | st.builds(Position, st.integers(0, 30), ids),
    st.integers(0, 20),
    st.integers(0, 10),
    ids,
    st.sampled_from(["start", "now"]) | st.integers(0, 30),
)
def test_what_is_shown_accounts_for_every_offset(
    seen: Position | None, begins: int, length: int, topic_id: str | None, target: Any
) -> None:
    """Every offset before the one where a group goes on was read, is deleted, or is shown as
    skipped; an offset that the log does not have is refused."""
    log = range(begins, begins + length)
    if isinstance(target, int) and not begins <= target <= log.stop:
        with pytest.raises(Conflict, match=f"{target} is not there"):
            resumption(0, seen, log, topic_id, target)
        return
    plan = resumption(0, seen, log, topic_id, target)
    read = plan.stood_at or 0

    assert begins <= plan.goes_on_at <= log.stop
    assert plan.to == Position(plan.goes_on_at, topic_id)
    assert plan.deleted == len([o for o in range(begins) if o >= read])
    assert plan.skipped == len([o for o in range(begins, plan.goes_on_at) if o >= read])
    assert plan.read_again == len(range(plan.goes_on_at, read))
