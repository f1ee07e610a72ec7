"""What files makes of what it hears."""

from pathlib import Path

import anyio
import pytest

from huleedu.core.enums import ProcessingEvent, RefusalReason
from huleedu.core.message import Message
from huleedu.core.messages import (
    EssayContentRefused,
    essay_reference,
    metadata_of,
)
from huleedu.core.metrics import FILES_RECEIVED
from huleedu.core.settings import FilesSettings
from huleedu.core.topics import topic_name
from huleedu.files import subscriptions
from huleedu.store.database import Database
from huleedu.transport.dead_letters import DEAD_LETTER_MIGRATIONS
from huleedu.transport.memory import MemoryTransport
from tests.files.school import School, content_ready_in, school
from tests.support.builders import AT, registered, say
from tests.support.wishing import cancelled, proceed

pytestmark = pytest.mark.anyio


def refused(batch_id: str, essay_id: str, storage_id: str, reason: RefusalReason) -> Message:
    event = ProcessingEvent.ESSAY_CONTENT_REFUSED
    data = EssayContentRefused(
        batch_id=batch_id,
        essay_id=essay_id,
        storage_id=storage_id,
        reason=reason,
        metadata=metadata_of(essay_reference(batch_id, essay_id), event, AT),
    )
    return say(event, data)


async def refuse_newest(here: School, reason: RefusalReason) -> None:
    data = content_ready_in((await here.said())[-1])
    await here.hears(refused(data.batch_id, data.essay_id, data.text_storage_id, reason))


async def test_a_second_registration_changes_nothing() -> None:
    """Whatever it says: the essays are those that were heard first."""
    async with school() as here:
        await here.registers("b", ["e1"])
        await here.registers("b", ["x1", "x2"])

        answer = await here.uploads("b", [("a.txt", b"A"), ("b.txt", b"B")])

        assert [one.get("essay_id") for one in answer.json()["files"]] == ["e1", None]


@pytest.mark.parametrize("reason", list(RefusalReason))
async def test_a_refused_text_sent_again_is_told_why(reason: RefusalReason) -> None:
    """What the batch could not take is no longer called unchanged, nor said a second time."""
    async with school() as here:
        await here.registers("b", ["e1"])
        await here.uploads("b", [("Anna.txt", b"A")])
        await refuse_newest(here, reason)

        answer = await here.uploads("b", [("Anna.txt", b"A")])

        (told,) = answer.json()["files"]
        assert told["reason"] == reason.value
        assert told["error"].startswith("“Anna.txt” ")
        assert len(await here.said()) == 1


async def test_a_refused_replacement_leaves_the_text_before_it() -> None:
    """The batch is checked with the first text: sent again, that one is unchanged."""
    async with school() as here:
        await here.registers("b", ["e1"])
        await here.uploads("b", [("e1.txt", b"A")])
        await here.uploads("b", [("e1.txt", b"B")])
        await refuse_newest(here, RefusalReason.BATCH_READY)

        first, second = [await here.uploads("b", [("e1.txt", text)]) for text in (b"A", b"B")]

        assert first.json()["files"][0]["outcome"] == "unchanged"
        assert second.json()["files"][0]["reason"] == "batch_ready"
        assert len(await here.said()) == 2


async def test_a_text_taken_once_is_unchanged_even_if_its_return_was_refused() -> None:
    """A, B, A again, of which B and the second A came too late: the batch has A."""
    async with school() as here:
        await here.registers("b", ["e1"])
        for text in (b"A", b"B", b"A"):
            await here.uploads("b", [("e1.txt", text)])
        for message in (await here.said())[1:]:
            storage_id = content_ready_in(message).text_storage_id
            await here.hears(refused("b", "e1", storage_id, RefusalReason.BATCH_READY))

        answer = await here.uploads("b", [("e1.txt", b"A")])

        assert answer.json()["files"][0]["outcome"] == "unchanged"
        assert len(await here.said()) == 3


async def test_a_refusal_of_a_text_from_elsewhere_is_no_fault() -> None:
    """Others may send content too; that it belongs nowhere is heard and changes nothing."""
    async with school() as here:
        await here.registers("b", ["e1"])

        await here.hears(
            refused("b", "e1", "0" * 32, RefusalReason.NOT_REGISTERED),
            refused("unknown", "e1", "0" * 32, RefusalReason.BATCH_CLOSED),
        )

        answer = await here.uploads("b", [("a.txt", b"A")])
        assert answer.json()["files"][0]["outcome"] == "assigned"


WISHES = {"batch_closed": proceed, "batch_cancelled": cancelled}


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("reason", list(WISHES))
async def test_an_upload_to_a_batch_that_is_over_is_told_for_each_file(
    reason: str, early: bool
) -> None:
    """Whether teachers closed or cancelled it, also before its registration was heard here.

    What the batch has already is unchanged; nothing is said to anybody else.
    """
    async with school() as here:
        if early:
            await here.hears(WISHES[reason]("b"))
            await here.registers("b", ["e1", "e2"])
        else:
            await here.registers("b", ["e1", "e2"])
            await here.uploads("b", [("e1.txt", b"A")])
            await here.hears(WISHES[reason]("b"))
        said = len(await here.said())

        answer = await here.uploads(
            "b", [("e1.txt", b"A"), ("e2.txt", b"B"), ("e1.doc.txt", b"C"), ("D.txt", b"D")]
        )

        first, *others = answer.json()["files"]
        assert first.get("outcome") == (None if early else "unchanged")
        for told in others if not early else [first, *others]:
            assert told["reason"] == reason
            assert told["error"].startswith(f"“{told['name']}” came too late: the batch w")
        assert len(await here.said()) == said


async def test_one_refusal_tells_that_the_batch_takes_no_more() -> None:
    """A text for another essay of it is not promised anything."""
    async with school() as here:
        await here.registers("b", ["e1", "e2"])
        await here.hears(refused("b", "e1", "0" * 32, RefusalReason.BATCH_READY))

        answer = await here.uploads("b", [("e2.txt", b"B")])

        (told,) = answer.json()["files"]
        assert told["reason"] == "batch_ready"
        assert await here.said() == []


async def test_other_batches_take_texts_as_before() -> None:
    """Only the batch that was cancelled is over."""
    async with school() as here:
        await here.registers("b", ["e1"])
        await here.registers("c", ["e1"])
        await here.hears(cancelled("b"))

        answer = await here.uploads("c", [("e1.txt", b"A")])

        assert answer.json()["files"][0]["outcome"] == "assigned"


async def test_files_are_counted_by_outcome() -> None:
    """Each file of an answered upload counts once."""

    def counted() -> dict[str, float]:
        (metric,) = FILES_RECEIVED.collect()
        return {
            sample.labels["outcome"]: sample.value
            for sample in metric.samples
            if sample.name.endswith("_total")
        }

    before = counted()
    async with school() as here:
        await here.registers("b", ["e1"])
        await here.uploads("b", [("a.txt", b"A"), ("b.txt", b"B"), ("c.txt", b"")])
        await here.uploads("b", [("a.txt", b"A")])
        await here.uploads("b", [("e1.txt", b"C")])

    for outcome in ("assigned", "refused", "unreadable", "unchanged", "replaced"):
        assert counted()[outcome] - before.get(outcome, 0) == 1


async def test_a_registration_on_the_bus_lets_a_waiting_upload_in(tmp_path: Path) -> None:
    """Heard by its group on the real bus, beside a message that is none."""
    settings = FilesSettings(registration_wait_seconds=15)
    async with school(settings=settings) as here:
        letters = Database(tmp_path / "dead.db", DEAD_LETTER_MIGRATIONS, here.platform.hops)
        await letters.open()
        bus = MemoryTransport(here.platform, letters)
        for subscription in subscriptions(here.database, here.platform, settings):
            assert subscription.group == settings.consumer_group
            bus.subscribe(subscription)
        topic = topic_name(ProcessingEvent.BATCH_ESSAYS_REGISTERED)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bus.run)
                tasks.start_soon(bus.publish, [Message(topic, b"b", b"{"), registered("b", ["e1"])])

                answer = await here.uploads("b", [("a.txt", b"A")])

                tasks.cancel_scope.cancel()
        finally:
            await letters.close()

    assert answer.json()["files"][0]["essay_id"] == "e1"
