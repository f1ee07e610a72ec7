"""The upload route: what a form must be, and what is answered."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest
from structlog.testing import capture_logs

from huleedu.core.message import Header
from huleedu.core.settings import FilesSettings, Limits
from huleedu.files import registrations
from tests.files.documents import written
from tests.files.school import FakeContent, School, content_ready_in, essays_in, school
from tests.support.builders import CORRELATION, registered

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here() -> AsyncIterator[School]:
    async with school() as opened:
        await opened.registers("b", ["e1", "e2", "e3"])
        yield opened


def reasons_in(answer: httpx.Response) -> list[str | None]:
    assert answer.status_code == 202, answer.text
    return [file.get("reason") for file in answer.json()["files"]]


async def test_files_become_the_texts_of_essays(here: School) -> None:
    """Each file is answered in order, and said with its name, its student and where its text is."""
    files = [("Anna Lindqvist.txt", b"My summer."), ("e1.docx", written("My dog."))]

    answer = await here.uploads("b", files)

    assert {
        "message": "2 of 2 files taken.",
        "batch_id": "b",
        "correlation_id": str(CORRELATION),
        "files": [
            {"name": "Anna Lindqvist.txt", "essay_id": "e2", "outcome": "assigned"},
            {"name": "e1.docx", "essay_id": "e1", "outcome": "assigned"},
        ],
    } == answer.json()
    assert await here.said_texts() == [("e2", "My summer."), ("e1", "My dog.")]
    anna, dog = map(content_ready_in, await here.said())
    assert (anna.file_name, anna.student_name) == ("Anna Lindqvist.txt", "Anna Lindqvist")
    assert (dog.file_name, dog.student_name) == ("e1.docx", None)
    assert (anna.entity.parent_id, anna.entity.entity_id) == ("b", "e2")


async def test_the_correlation_id_is_the_registrations(here: School) -> None:
    """Answer and events carry the batch's own; the upload's is logged beside it."""
    request_id = str(uuid.uuid4())

    with capture_logs() as lines:
        answer = await here.uploads(
            "b", [("Anna Lind.txt", b"A")], headers={"X-Correlation-ID": request_id}
        )

    assert answer.json()["correlation_id"] == str(CORRELATION)
    assert answer.headers["x-correlation-id"] == request_id
    assert [str(CORRELATION)] == [m.headers[Header.CORRELATION_ID] for m in await here.said()]
    (line,) = [line for line in lines if line["event"] == "file_received"]
    assert line["correlation_id"] == str(CORRELATION)
    assert line["request_id"] == request_id
    assert line["batch_id"] == "b"
    assert "Anna" not in str(lines)


async def test_an_essay_id_that_is_a_name_is_logged_on_debug_only(here: School) -> None:
    """Who may read the log learns how many files came, and not from whom."""
    await here.registers("named", ["astrid.blomkvist", "e2"])

    with capture_logs() as lines:
        await here.uploads("named", [("astrid.blomkvist.txt", b"A")])

    telling = {line["log_level"] for line in lines if "blomkvist" in str(line)}
    assert telling == {"debug"}
    assert "file_received" in {line["event"] for line in lines}


async def test_essay_ids_belong_to_the_files_that_follow_them(here: School) -> None:
    """The nth id goes with the nth file; an empty one leaves its file to its name."""
    files = [("a.txt", b"A"), ("e1.txt", b"B"), ("c.txt", b"C")]

    answer = await here.uploads("b", files, ["e3", "", "e2"])

    assert essays_in(answer) == ["e3", "e1", "e2"]


@pytest.mark.parametrize("essay_ids", [["e1"], ["e1", "e2", "e3"]])
async def test_ids_for_some_files_only_are_refused(here: School, essay_ids: list[str]) -> None:
    """Which id is whose file would be a guess: 400, and nothing is kept."""
    answer = await here.uploads("b", [("a.txt", b"A"), ("b.txt", b"B")], essay_ids)

    assert answer.status_code == 400
    assert f"names {len(essay_ids)} essays for 2 files" in answer.json()["detail"]
    assert not here.content.texts
    assert await here.said() == []


async def test_a_broken_file_leaves_its_neighbours_alone(here: School) -> None:
    """Each file that cannot be read has its own reason; the others are taken."""
    files = [
        ("empty.txt", b""),
        ("good.txt", b"A text."),
        ("scan.pdf", b"%PDF"),
        ("mislabelled.docx", b"not a document"),
        ("also good.txt", b"Another text."),
    ]

    answer = await here.uploads("b", files)

    assert essays_in(answer) == [None, "e1", None, None, "e2"]
    assert reasons_in(answer) == ["empty_file", None, "unsupported_ending", "mislabelled", None]
    assert answer.json()["message"] == "2 of 5 files taken."
    assert "“empty.txt” is empty." in answer.json()["files"][0]["error"]


async def test_a_file_that_belongs_nowhere_is_told_why(here: School) -> None:
    """An id that the batch does not have, and a file too many, are errors of those files."""
    files = [(f"{letter}.txt", letter.encode()) for letter in "abcd"]

    wrong = await here.uploads("b", [("x.txt", b"x")], ["e9"])
    answer = await here.uploads("b", files)

    assert reasons_in(wrong) == ["unknown_essay"]
    assert reasons_in(answer) == [None, None, None, "no_place"]


async def test_the_same_upload_again_changes_nothing(here: School) -> None:
    """It is answered with the same essays, as unchanged, and nothing more is said."""
    files = [("a.txt", b"A"), ("b.txt", b"B")]
    first = await here.uploads("b", files)
    said = await here.said()

    again = await here.uploads("b", files)

    assert essays_in(first) == essays_in(again)
    assert [one["outcome"] for one in again.json()["files"]] == ["unchanged", "unchanged"]
    assert said == await here.said()


async def test_a_text_replaced_and_put_back_is_three_events(here: School) -> None:
    """A, then B, then A again: the last one counts, so each is an event of its own."""
    outcomes = []
    for text in (b"A", b"A", b"B", b"A"):
        answer = await here.uploads("b", [("e2.txt", text)])
        outcomes += [one["outcome"] for one in answer.json()["files"]]

    assert outcomes == ["assigned", "unchanged", "replaced", "replaced"]
    assert await here.said_texts() == [("e2", "A"), ("e2", "B"), ("e2", "A")]
    assert len({message.event_id for message in await here.said()}) == 3


async def test_names_are_made_harmless(here: School) -> None:
    """A name with folders is shown and said without them."""
    answer = await here.uploads("b", [("../../e3.txt", b"A"), ("C:\\essays\\e1.txt", b"B")])

    assert [one["name"] for one in answer.json()["files"]] == ["e3.txt", "e1.txt"]
    assert essays_in(answer) == ["e3", "e1"]


async def test_a_file_over_the_limit_is_its_own_error() -> None:
    """A file of exactly the limit is taken; one byte more is that file's error alone."""
    async with school(limits=Limits(file_bytes=50)) as here:
        await here.registers("b", ["e1", "e2"])
        files = [("large.txt", b"a" * 51), ("fits.txt", b"b" * 50), ("small.txt", b"c")]

        answer = await here.uploads("b", files)

    assert reasons_in(answer) == ["too_large", None, None]
    assert essays_in(answer) == [None, "e1", "e2"]
    assert "“large.txt” is larger than 50 bytes" in answer.json()["files"][0]["error"]


async def test_as_many_files_as_allowed_and_not_one_more() -> None:
    """A class of the largest size, each file with its id, is taken; one file more is 413."""
    limits = Limits()
    essay_ids = [f"essay {number}" for number in range(limits.upload_files)]
    files = [("a.txt", essay_id.encode()) for essay_id in essay_ids]
    async with school() as here:
        await here.registers("b", essay_ids)

        too_many = await here.uploads("b", [*files, ("b.txt", b"B")])
        assert too_many.status_code == 413
        assert "more than 1,000 files" in too_many.json()["detail"]
        assert await here.said() == []

        assert essay_ids == essays_in(await here.uploads("b", files, essay_ids))
        assert len(await here.said()) == limits.upload_files


async def test_a_large_upload_is_read_back_from_disk_unmixed() -> None:
    """Files that do not fit in memory together each keep their own text."""
    essay_ids = [f"e{number}" for number in range(12)]
    files = [(f"{one}.txt", one.encode() * 100_000) for one in essay_ids]
    async with school() as here:
        await here.registers("b", essay_ids)

        answer = await here.uploads("b", files)

        assert essay_ids == essays_in(answer)
        assert [(one, one * 100_000) for one in essay_ids] == await here.said_texts()


async def test_a_batch_that_nobody_registers_is_not_found() -> None:
    """404 after the wait, with the time after which to ask again; nothing is stored."""
    async with school(settings=FilesSettings(registration_wait_seconds=0.1)) as here:
        answer = await here.uploads("nobody's\n" + "b" * 100, [("a.txt", b"A")])

        assert answer.status_code == 404
        assert answer.headers["retry-after"] == "1"
        assert "is not known here, or not yet" in answer.json()["detail"]
        assert "b" * 65 not in answer.json()["detail"]
        assert not here.content.texts


async def test_a_registration_heard_during_the_wait_lets_the_upload_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Files may come a moment before their registration; its commit wakes them."""
    monkeypatch.setattr(registrations, "_LOOK_SECONDS_MAX", 1_000)
    answers: dict[str, httpx.Response] = {}
    async with school(settings=FilesSettings(registration_wait_seconds=1_000)) as here:

        async def upload(batch_id: str) -> None:
            answers[batch_id] = await here.uploads(batch_id, [("a.txt", b"A")])

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(upload, "b")
                tasks.start_soon(upload, "c")
                await anyio.wait_all_tasks_blocked()
                await here.registers("other", ["e"])
                await here.hears(registered("b", ["e1"]), registered("c", ["e2"]))

    assert essays_in(answers["b"]) == ["e1"]
    assert essays_in(answers["c"]) == ["e2"]


async def test_a_registration_heard_by_another_process_is_found_too(tmp_path: Path) -> None:
    """Its commit wakes nobody here, so the store is looked at now and then."""
    settings = FilesSettings(registration_wait_seconds=1_000)
    async with school(tmp_path, settings=settings) as here, school(tmp_path) as elsewhere:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:

                async def register_elsewhere() -> None:
                    await anyio.wait_all_tasks_blocked()
                    await elsewhere.registers("b", ["e1"])

                tasks.start_soon(register_elsewhere)
                answer = await here.uploads("b", [("a.txt", b"A")])

    assert essays_in(answer) == ["e1"]


async def test_a_content_store_that_is_away_is_told_and_heals() -> None:
    """503 with Retry-After and nothing half done; the same upload again completes."""
    content = FakeContent(puts_until_away=2)
    files = [(f"{letter}.txt", letter.encode()) for letter in "abcd"]
    async with school(content=content) as here:
        await here.registers("b", ["e1", "e2", "e3", "e4"])

        answer = await here.uploads("b", files)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert await here.said() == []

        content.puts_until_away = None
        assert essays_in(await here.uploads("b", files)) == ["e1", "e2", "e3", "e4"]
        assert [text for _, text in await here.said_texts()] == ["a", "b", "c", "d"]


async def test_a_store_that_cannot_write_is_told_and_heals(here: School) -> None:
    """503 while the file of the store is gone, and no event for what was not kept."""
    aside = here.database.path.with_suffix(".aside")
    await here.uploads("b", [("a.txt", b"A")])
    here.database.path.rename(aside)

    answer = await here.uploads("b", [("b.txt", b"B")])

    aside.rename(here.database.path)
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert essays_in(await here.uploads("b", [("b.txt", b"B")])) == ["e2"]
    assert await here.said_texts() == [("e1", "A"), ("e2", "B")]
