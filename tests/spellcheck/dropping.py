"""A cancelled class before a small one, on whichever transport: the suite of both."""

from collections.abc import Sequence

import anyio

from huleedu.core.enums import Language, ProcessingEvent
from huleedu.core.ids import StorageId
from huleedu.core.message import Message
from huleedu.core.topics import topic_name
from huleedu.spellcheck.handlers import SpellcheckWorker
from huleedu.spellcheck.model import CheckedText
from huleedu.transport.protocol import Transport
from tests.spellcheck.test_handlers import request
from tests.support.builders import hear
from tests.support.eventually import eventually
from tests.transport.bus import Bus, group, say

REQUESTED = topic_name(ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED)
RESULT = topic_name(ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED)
LARGE, SMALL = 300, 5


class BatchNames:
    """A content store in which every text is the id it is asked by."""

    async def put(self, content: bytes) -> StorageId:
        del content
        return StorageId("0" * 32)

    async def get(self, storage_id: StorageId) -> bytes:
        return str(storage_id).encode()


class SlowChecker:
    """Is never done with a text of the large class."""

    async def check(self, text: str, language: Language) -> CheckedText:
        del language
        if text.startswith("large"):
            await anyio.sleep_forever()
        return CheckedText(corrected=text, corrections=())


class Stopped:
    """Knows which batches are cancelled."""

    def __init__(self, *batch_ids: str) -> None:
        self.batch_ids = batch_ids

    async def is_cancelled(self, batch_id: str) -> bool:
        return batch_id in self.batch_ids


class Answers:
    """The transport as the checker speaks to it; keeps what it said."""

    def __init__(self) -> None:
        self.transport: Transport | None = None
        self.said: list[Message] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        assert self.transport is not None
        await self.transport.publish(messages)
        self.said += messages


class DroppingConformance:
    """What holds on both transports."""

    async def test_a_small_class_does_not_wait_for_one_that_was_cancelled(self, bus: Bus) -> None:
        """Its requests are dropped, every one; those of the small class are all answered."""
        answers = Answers()
        worker = SpellcheckWorker(
            answers,  # type: ignore[arg-type]  # of a transport, the checker needs no more
            SlowChecker(),
            BatchNames(),
            bus.platform,
            Stopped("large"),
        )
        sender = await bus.store("sender")
        await say(
            sender,
            bus,
            [
                request(f"{batch}-{number}", f"{batch}-{number}", batch)
                for batch, count in (("large", LARGE), ("small", SMALL))
                for number in range(count)
            ],
        )
        checkers = group("g", worker, [REQUESTED], batch_max=1, concurrency=2)
        async with bus.running([checkers], [sender]) as transport:
            answers.transport = transport

            async def answered() -> list[str]:
                return sorted(str(hear(one).batch_id) for one in answers.said)

            await eventually(answered, lambda batches: batches == ["small"] * SMALL, 60)
            await bus.until_handled(sender)

        assert await bus.dead_letters() == []
