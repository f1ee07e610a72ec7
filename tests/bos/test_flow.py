"""BOS on the bus, between a registration and its outcome."""

from pathlib import Path

import anyio
import pytest

from huleedu.bos import subscriptions
from huleedu.core.enums import ProcessingEvent
from huleedu.core.message import Message
from huleedu.core.settings import Settings
from huleedu.core.topics import topic_name
from huleedu.store.database import Database
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS
from huleedu.transport.memory import MemoryTransport
from tests.bos.building import (
    PARTIAL,
    Bos,
    FakeReferences,
    essays_ready,
    phase_outcome,
    readiness_timeout,
    running_bos,
)
from tests.support.builders import spellcheck_result
from tests.support.dead_letters import read_dead_letters
from tests.support.eventually import eventually
from tests.transport.bus import until_sent

pytestmark = pytest.mark.anyio
ESSAYS = ["essay-1", "essay-2", "essay-3"]


async def status_of(bos: Bos, batch_id: str) -> str:
    view = (await bos.client.get(f"/v1/batches/{batch_id}")).json()
    return str(view["status"])


async def test_a_batch_from_registration_to_its_end(tmp_path: Path) -> None:
    """What ELS and the checker say, twice and beside nonsense, ends the batch once."""
    async with running_bos(tmp_path) as bos:
        dead_letters = Database(tmp_path / "dead.db", DEAD_LETTER_MIGRATIONS, bos.platform.hops)
        await dead_letters.open()
        bus = MemoryTransport(bos.platform, dead_letters)
        for subscription in subscriptions(bos.database, bos.platform, Settings(), FakeReferences()):
            bus.subscribe(subscription)
        bus.relay(bos.database)
        batch_id = (await bos.register()).json()["batch_id"]
        said = [
            essays_ready(batch_id, ESSAYS),
            essays_ready("nowhere", ESSAYS),
            Message(
                topic_name(ProcessingEvent.BATCH_ESSAYS_READY), batch_id.encode(), b"nonsense", {}
            ),
            spellcheck_result(batch_id, "essay-1"),
            spellcheck_result(batch_id, "essay-2", success=False),
            spellcheck_result(batch_id, "essay-3"),
        ]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bus.run)
            await bus.publish([*said, *said, readiness_timeout(batch_id, ["essay-3"])])
            await until_sent(dead_letters)
            assert await status_of(bos, batch_id) == "processing_pipelines"

            outcome = phase_outcome(batch_id, PARTIAL, ["essay-1", "essay-3"], ["essay-2"])
            await bus.publish([outcome, outcome, *said])
            await until_sent(dead_letters)
            dead = await eventually(
                lambda: dead_letters.read(read_dead_letters), lambda dead: len(dead) == 2
            )
            tasks.cancel_scope.cancel()

        view = (await bos.client.get(f"/v1/batches/{batch_id}")).json()
        assert view["status"] == "completed_with_failures"
        assert view["context"]["readiness_timed_out_at"] is not None
        spellcheck = view["pipeline_state"]["spellcheck"]
        assert spellcheck["status"] == "completed_with_partial_success"
        assert spellcheck["essay_counts"] == {
            "total": 3,
            "pending_dispatch_or_processing": 0,
            "successful": 2,
            "failed": 1,
        }
        own_topics = [
            message.topic for message in await bos.outbox() if not message.topic.endswith(".dlq")
        ]
        assert own_topics == [
            topic_name(ProcessingEvent.BATCH_ESSAYS_REGISTERED),
            topic_name(ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND),
        ]
        assert len(dead) == 2
        await dead_letters.close()
