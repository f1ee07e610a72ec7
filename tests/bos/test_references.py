"""A readiness that does not say where the texts are: a foreign sender's."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from huleedu.bos import subscriptions
from huleedu.bos.references import ReferencesMissing
from huleedu.core.enums import ProcessingEvent
from huleedu.core.envelope import decode
from huleedu.core.errors import NotFound, PeerUnavailable
from huleedu.core.message import Message
from huleedu.core.messages import BatchServiceSpellcheckInitiateCommandDataV1
from huleedu.core.settings import Settings
from huleedu.core.topics import dead_letter_topic, topic_name
from huleedu.transport.event_progress import EventProgress
from huleedu.transport.protocol import Consumer, Delivery
from tests.bos.building import Bos, FakeReferences, essays_ready, references_to, running_bos

pytestmark = pytest.mark.anyio
ESSAYS = ["essay-1", "essay-2", "essay-3"]
READY = topic_name(ProcessingEvent.BATCH_ESSAYS_READY)
COMMAND = topic_name(ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND)


@dataclass(frozen=True)
class Hearing:
    """A BOS with a registered batch, its ELS, and what reaches it from the transport."""

    bos: Bos
    els: FakeReferences
    consumer: Consumer
    batch_id: str

    def delivery(self, *messages: Message) -> Delivery:
        progress = EventProgress("bos", messages, self.bos.platform)
        return Delivery("bos", messages, 1, progress)

    async def hears(self, *messages: Message) -> None:
        await self.consumer.handle(self.delivery(*messages))

    async def commanded(self) -> Mapping[str, str]:
        """Return essay → text of every essay of every command."""
        texts: dict[str, str] = {}
        for message in await self.bos.outbox():
            if message.topic == COMMAND:
                data = decode(COMMAND, message.value).data
                assert isinstance(data, BatchServiceSpellcheckInitiateCommandDataV1)
                assert not texts, "commanded twice"
                texts = {one.essay_id: one.text_storage_id for one in data.essays_to_process}
        return texts


@asynccontextmanager
async def hearing(directory: Path) -> AsyncIterator[Hearing]:
    async with running_bos(directory) as bos:
        els = FakeReferences()
        (subscription,) = subscriptions(bos.database, bos.platform, Settings(), els)
        assert subscription.store is bos.database
        batch_id = (await bos.register()).json()["batch_id"]
        yield Hearing(bos, els, subscription.consumer, batch_id)


async def test_els_is_asked_for_the_references(tmp_path: Path) -> None:
    """The command names the texts that ELS knows, of the essays that are ready and no others."""
    async with hearing(tmp_path) as one:
        one.els.essays[one.batch_id] = references_to(ESSAYS)
        foreign = essays_ready(one.batch_id, ESSAYS[:2], references=False)

        await one.hears(foreign)
        await one.hears(foreign)

        assert await one.commanded() == {"essay-1": "text-essay-1", "essay-2": "text-essay-2"}


async def test_els_is_not_asked_for_what_the_event_says(tmp_path: Path) -> None:
    """Nor for an empty batch, nor on behalf of bytes that are no event."""
    async with hearing(tmp_path) as one:
        nonsense = Message(READY, one.batch_id.encode(), b"nonsense", {})
        empty = (await one.bos.register()).json()["batch_id"]

        await one.hears(
            essays_ready(one.batch_id, ESSAYS), nonsense, essays_ready(empty, [], references=False)
        )

        assert one.els.asked == []
        assert sorted(await one.commanded()) == ESSAYS
        aside = [m for m in await one.bos.outbox() if m.topic == dead_letter_topic(READY)]
        assert [m.value for m in aside] == [b"nonsense"]


async def test_a_silent_els_makes_the_message_wait(tmp_path: Path) -> None:
    """Nothing of the delivery is kept, and all of it counts once ELS answers."""
    async with hearing(tmp_path) as one:
        foreign = essays_ready(one.batch_id, ESSAYS, references=False)
        one.els.essays[one.batch_id] = references_to(ESSAYS)
        one.els.trouble = PeerUnavailable("the ELS API does not answer")
        with pytest.raises(PeerUnavailable):
            await one.hears(foreign)
        assert await one.commanded() == {}

        one.els.trouble = None
        await one.hears(foreign)

        assert sorted(await one.commanded()) == ESSAYS


async def test_a_batch_or_text_that_els_does_not_know_is_rejected(tmp_path: Path) -> None:
    """The message goes to the dead letters, byte for byte as it came."""
    async with hearing(tmp_path) as one:
        foreign = essays_ready(one.batch_id, ESSAYS, references=False)
        with pytest.raises(NotFound):
            await one.hears(foreign)
        one.els.essays[one.batch_id] = references_to(ESSAYS[:2])
        with pytest.raises(ReferencesMissing, match=r"1 of its 3 essays \(essay-3\)"):
            await one.hears(foreign)

        await one.consumer.set_aside(one.delivery(foreign), {"dead-letter-group": "bos"})

        (aside,) = [m for m in await one.bos.outbox() if m.topic == dead_letter_topic(READY)]
        assert (aside.key, aside.value) == (foreign.key, foreign.value)
        assert await one.commanded() == {}
