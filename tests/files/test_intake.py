"""One upload, and several at once: no slot is shared, nothing is half done."""

import threading
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.errors import Unavailable
from huleedu.core.ids import derived_event_id
from tests.files.school import FakeContent, School, content_ready_in, school
from tests.support.builders import hear

pytestmark = pytest.mark.anyio

ESSAYS = ("e1", "e2", "e3", "e4")
File = tuple[str, bytes]

texts = st.sampled_from([b"A", b"B", b"C", b"D", b"E", b"F"])
strangers = st.tuples(st.sampled_from(["Anna.txt", "Bo.txt"]), texts)
named = st.tuples(st.sampled_from(["e1.txt", "E3.txt", "Anna.txt"]), texts)


async def at_once(here: School, uploads: Sequence[Sequence[File]]) -> list[httpx.Response]:
    """Send all uploads at the same time; return their answers in order."""
    answers: dict[int, httpx.Response] = {}

    async def send(place: int) -> None:
        answers[place] = await here.uploads("b", uploads[place])

    async with anyio.create_task_group() as tasks:
        for place in range(len(uploads)):
            tasks.start_soon(send, place)
    return [answers[place] for place in range(len(uploads))]


async def assert_each_version_is_said_once(here: School) -> None:
    """One event for each (essay, version), the last of each essay with the text in force."""
    said: dict[str, list[str]] = defaultdict(list)
    ids: dict[str, list[str]] = defaultdict(list)
    for message in await here.said():
        data = content_ready_in(message)
        said[data.essay_id].append(data.text_storage_id)
        ids[data.essay_id].append(message.event_id)
    event = hear(message).event.value if said else ""
    for essay_id, event_ids in ids.items():
        versions = range(1, len(event_ids) + 1)
        assert event_ids == [
            str(derived_event_id(event, "b", essay_id, str(version))) for version in versions
        ]
        assert all(one != other for one, other in pairwise(said[essay_id]))
    rows = await here.database.read(
        lambda db: db.execute("SELECT essay_id, version, storage_id FROM file").fetchall()
    )
    assert sorted(rows) == sorted(
        (essay_id, version, storage_id)
        for essay_id, storage_ids in said.items()
        for version, storage_id in enumerate(storage_ids, start=1)
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(strangers, min_size=1, max_size=5), min_size=1, max_size=6))
def test_uploads_at_once_never_share_a_slot(uploads: list[list[File]]) -> None:
    """Each different text has an essay of its own, as long as there are essays; each said once."""

    async def scenario() -> None:
        async with school() as here:
            await here.registers("b", ESSAYS)

            answers = await at_once(here, [*uploads, *uploads])

            holder: dict[str, str] = {}
            for essay_id, text in await here.said_texts():
                assert text not in holder
                assert essay_id not in holder.values()
                holder[text] = essay_id
            different = {text.decode() for upload in uploads for _, text in upload}
            assert len(holder) == min(len(different), len(ESSAYS))
            for upload, answer in zip([*uploads, *uploads], answers, strict=True):
                assert answer.status_code == 202
                for (_, content), told in zip(upload, answer.json()["files"], strict=True):
                    assert told.get("essay_id") == holder.get(content.decode())
                    assert ("essay_id" in told) != (told.get("reason") == "no_place")
            await assert_each_version_is_said_once(here)

    anyio.run(scenario)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(named, min_size=1, max_size=4), min_size=1, max_size=5))
def test_replacements_at_once_are_each_said_once(uploads: list[list[File]]) -> None:
    """Whatever order they took, every version of an essay's text is one event, in order."""

    async def scenario() -> None:
        async with school() as here:
            await here.registers("b", ESSAYS)

            answers = await at_once(here, uploads)

            assert all(answer.status_code == 202 for answer in answers)
            await assert_each_version_is_said_once(here)
            for upload, answer in zip(uploads, answers, strict=True):
                taken = {
                    (told["essay_id"], text.decode())
                    for (_, text), told in zip(upload, answer.json()["files"], strict=True)
                    if "essay_id" in told
                }
                assert taken <= set(await here.said_texts())

    anyio.run(scenario)


async def test_of_two_uploads_for_the_last_essay_one_gets_it() -> None:
    """The other one is told that there is no place left."""
    async with school() as here:
        await here.registers("b", ["e1", "e2"])
        await here.uploads("b", [("first.txt", b"A")])

        answers = await at_once(here, [[("x.txt", b"X")], [("y.txt", b"Y")]])

        told = [one for answer in answers for one in answer.json()["files"]]
        assert sorted(one.get("essay_id", one.get("reason")) for one in told) == ["e2", "no_place"]
        assert len(await here.said()) == 2


@pytest.mark.parametrize("puts", range(4))
async def test_an_upload_that_dies_among_its_texts_leaves_nothing_half_done(
    tmp_path: Path, puts: int
) -> None:
    """Some texts are stored and the process ends: no row, no event; the retry completes."""
    files = [(f"{letter}.txt", letter.encode()) for letter in "ABCD"]
    content = FakeContent(puts_until_held=puts)
    async with school(tmp_path, content=content) as here:
        await here.registers("b", ESSAYS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.uploads, "b", files)
            await content.held.wait()
            tasks.cancel_scope.cancel()
        assert len(content.texts) > puts
        assert await here.said() == []

    async with school(tmp_path, content=FakeContent(content.texts)) as here:
        answer = await here.uploads("b", files)

        assert [one["outcome"] for one in answer.json()["files"]] == ["assigned"] * 4
        assert await here.said_texts() == list(zip(ESSAYS, "ABCD", strict=True))


async def test_an_upload_cancelled_before_its_transaction_leaves_nothing_half_done() -> None:
    """All texts are stored, the store is busy, the caller goes: no row; the retry completes."""
    files = [("a.txt", b"A"), ("b.txt", b"B")]
    busy, go_on = threading.Event(), threading.Event()

    def keep_busy(_: object) -> None:
        busy.set()
        go_on.wait(20)

    async with school() as here:
        await here.registers("b", ESSAYS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.database.write, keep_busy)
            assert await anyio.to_thread.run_sync(busy.wait, 20)
            async with anyio.create_task_group() as uploading:
                uploading.start_soon(here.uploads, "b", files)
                while len(here.content.texts) < len(files):
                    await anyio.lowlevel.checkpoint()
                await anyio.wait_all_tasks_blocked()
                uploading.cancel_scope.cancel()
            go_on.set()
        assert await here.said() == []

        await here.uploads("b", files)
        assert await here.said_texts() == [("e1", "A"), ("e2", "B")]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 120), max_size=4))
def test_an_upload_cancelled_at_any_moment_is_all_or_nothing(moments: list[int]) -> None:
    """Its events are all there or none is, and sent again it completes with each said once."""
    files = [(f"{letter}.txt", letter.encode()) for letter in "ABCD"]

    async def scenario() -> None:
        async with school() as here:
            await here.registers("b", ESSAYS)
            for checkpoints in moments:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(here.uploads, "b", files)
                    for _ in range(checkpoints):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                assert len(await here.said()) in {0, len(files)}

            answer = await here.uploads("b", files)

            assert [one["essay_id"] for one in answer.json()["files"]] == list(ESSAYS)
            assert await here.said_texts() == list(zip(ESSAYS, "ABCD", strict=True))
            await assert_each_version_is_said_once(here)

    anyio.run(scenario)


class Away:
    """An extractor whose processes cannot be started."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, name: str, content: bytes) -> str:
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        raise Unavailable("no process could be started to read files in")


async def test_without_extraction_an_upload_is_told_to_come_again() -> None:
    """503 for the request, rather than errors that blame the files; the rest is not tried."""
    extractor = Away()
    async with school(extractor=extractor) as here:
        await here.registers("b", ESSAYS)

        answer = await here.uploads("b", [(f"{n}.txt", b"A") for n in range(100)])

        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert extractor.asked < 10
        assert not here.content.texts
        assert await here.said() == []


class Counting:
    """An extractor that tells how many files were in its hands at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def __call__(self, name: str, content: bytes) -> str:
        self.now += 1
        self.most = max(self.most, self.now)
        await anyio.lowlevel.checkpoint()
        self.now -= 1
        return content.decode()


async def test_of_all_uploads_together_few_files_are_in_memory() -> None:
    """However many upload at once, as many files are read as there are processes to read them."""
    extractor = Counting()
    async with school(extractor=extractor) as here:
        await here.registers("b", [f"e{number}" for number in range(60)])

        await at_once(
            here,
            [[(f"{n}.txt", f"{upload} {n}".encode()) for n in range(20)] for upload in range(3)],
        )

        assert extractor.most == 2
        assert len(await here.said()) == 60
