"""The results of a batch over HTTP."""

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from huleedu.core.enums import RefusalReason
from tests.results.serving import Serving, serving
from tests.results.story import Story

pytestmark = pytest.mark.anyio

CORRECTIONS = [{"offset": 0, "length": 3, "original": "Teh", "correction": "The"}]
LOG = json.dumps({"essay_id": "a", "language": "en", "corrections": CORRECTIONS}).encode()


@pytest.fixture
async def results(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
async def client(results: Serving) -> AsyncIterator[httpx.AsyncClient]:
    async with results.client() as client:
        yield client


async def hear_a_mixed_batch(results: Serving) -> None:
    """One essay is checked, one failed, one text is missing in the store."""
    story = Story(essay_ids=["a", "b", "c"])
    await results.hear(
        [
            story.registered(),
            story.content("a", student_name="=cmd|' /C calc'!A0", file_name="Åsa Öberg.docx"),
            story.content("b", student_name='Bo "B", Ek', file_name="åsa öberg.txt"),
            story.content("c", file_name="../../CON.txt"),
            story.ready(),
            *(story.requested(one) for one in "abc"),
            story.checked("a", corrected="corrected-a", log="log-a"),
            story.failed("b", message="The text is empty."),
            story.checked("c", corrected="corrected-c", log="log-c"),
            story.concluded(failed=["b"]),
            story.content("b", "late", file_name="late.txt"),
            story.refused("b", "late", RefusalReason.BATCH_READY),
        ]
    )
    results.content.stored = {"corrected-a": "The sky är blå.\r\n".encode(), "log-a": LOG}


async def test_an_unknown_batch_may_show_up_shortly(client: httpx.AsyncClient) -> None:
    """A batch that is not known here yet is answered with 404 and when to ask again."""
    for path in ("/v1/results/nobody", "/v1/results/nobody/events"):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (404, "1")
        assert answer.headers["content-type"] == "application/problem+json"


async def test_the_results_as_json(results: Serving, client: httpx.AsyncClient) -> None:
    """Each essay shows its state in plain words, its student, file, corrections or failure."""
    await hear_a_mixed_batch(results)

    answer = (await client.get("/v1/results/batch-1")).json()

    assert answer["status"] == "completed_with_failures"
    assert answer["correlation_id"] == "7d3f3b52-7b0f-4c2e-9d5e-0c8e2f6a1b11"
    assert answer["expected_essay_count"] == 3
    assert answer["counts"] == {
        "expected": 3,
        "texts_received": 3,
        "pending": 0,
        "succeeded": 2,
        "failed": 1,
        "corrections": 6,
    }
    seen = [(e["essay_id"], e["status"], e["status_text"], e["error"]) for e in answer["essays"]]
    assert seen == [
        ("a", "spellchecked_success", "Checked", None),
        ("b", "spellcheck_failed", "Could not be checked", "The text is empty."),
        ("c", "spellchecked_success", "Checked", None),
    ]
    assert [text["file_name"] for text in answer["refused_texts"]] == ["late.txt"]
    assert answer["updated_at"] == "2026-01-12T08:00:13.000000Z"


async def test_the_end_of_an_attempt_before_the_named_one_is_none(
    results: Serving, client: httpx.AsyncClient
) -> None:
    """The retry that a caller was answered with has not been heard of here yet."""
    await hear_a_mixed_batch(results)

    ended = (await client.get("/v1/results/batch-1?attempt=1")).json()
    goes_on = (await client.get("/v1/results/batch-1?attempt=2")).json()
    wrong = await client.get("/v1/results/batch-1?attempt=0")

    assert (ended["is_finished"], ended["status"]) == (True, "completed_with_failures")
    assert (goes_on["is_finished"], goes_on["finished_at"]) == (False, None)
    assert goes_on["status"] == "processing_pipelines"
    assert wrong.status_code == 400


async def test_the_results_with_corrections(results: Serving, client: httpx.AsyncClient) -> None:
    """Asked for, every essay carries what was corrected in it; what is missing says why."""
    await hear_a_mixed_batch(results)
    plain = (await client.get("/v1/results/batch-1")).json()

    answer = (await client.get("/v1/results/batch-1?include=corrections")).json()

    added = [
        {key: essay.pop(key) for key in ("corrections", "corrections_error") if key in essay}
        for essay in answer["essays"]
    ]
    assert answer == plain
    assert added == [
        {"corrections": CORRECTIONS},
        {"corrections": None},
        {"corrections": None, "corrections_error": "it is no longer stored"},
    ]


async def test_corrections_of_a_batch_without_texts(
    results: Serving, client: httpx.AsyncClient
) -> None:
    """Before any check there are none, and the answer is whole; a broken log is told."""
    story = Story(essay_ids=[f"essay-{n}" for n in range(20)])
    await results.hear([story.registered(), story.checked("essay-19", log="log")])
    results.content.stored = {"log": b"{", "corrected-essay-19-1": b""}

    essays = (await client.get("/v1/results/batch-1?include=corrections")).json()["essays"]

    assert [essay["corrections"] for essay in essays] == [None] * 20
    assert essays[19]["corrections_error"] == "the list of corrections is not what it should be"


async def test_the_results_as_csv(results: Serving, client: httpx.AsyncClient) -> None:
    """A spreadsheet opens it as text, in the right letters, and runs nothing of it."""
    await hear_a_mixed_batch(results)

    answer = await client.get("/v1/results/batch-1?format=csv")

    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"results-batch-1.csv\"; filename*=UTF-8''results-batch-1.csv"
    )
    assert answer.content.startswith(b"\xef\xbb\xbfessay_id,student_name,")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert rows[1:3] == [
        [
            "a",
            "'=cmd|' /C calc'!A0",
            "Åsa Öberg.docx",
            "spellchecked_success",
            "Checked",
            "3",
            "",
            "1",
        ],
        [
            "b",
            'Bo "B", Ek',
            "åsa öberg.txt",
            "spellcheck_failed",
            "Could not be checked",
            "",
            "The text is empty.",
            "1",
        ],
    ]
    assert answer.content.count(b"\r\n") == 5  # header, three essays, a text that was not taken


async def test_the_results_as_zip(results: Serving, client: httpx.AsyncClient) -> None:
    """It holds every corrected text and log under its file's name, and tells what is missing."""
    await hear_a_mixed_batch(results)

    answer = await client.get("/v1/results/batch-1?format=zip")

    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        held = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        times = {entry.date_time for entry in archive.infolist()}
    assert list(held) == ["Åsa Öberg.txt", "Åsa Öberg.json", "results.csv", "ERRORS.txt"]
    assert held["Åsa Öberg.txt"].decode() == "The sky är blå.\r\n"
    assert held["Åsa Öberg.json"] == LOG
    assert held["ERRORS.txt"].decode().splitlines() == [
        "åsa öberg (2): Could not be checked: The text is empty.",
        "_CON.txt: the corrected text is missing: it is no longer stored",
        "_CON.json: the list of corrections is missing: it is no longer stored",
    ]
    assert times == {(2026, 1, 12, 8, 0, 12)}  # the format counts in steps of two seconds
    again = await client.get("/v1/results/batch-1?format=zip")
    assert answer.content == again.content


async def test_a_zip_waits_for_a_store_of_texts_that_is_away(
    results: Serving, client: httpx.AsyncClient
) -> None:
    """Where no text can be read for now there is no half-empty archive but 503; one is told."""
    await hear_a_mixed_batch(results)

    results.content.away = {"corrected-a"}
    answer = await client.get("/v1/results/batch-1?format=zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert b"cannot be read for now" in archive.read("ERRORS.txt")

    results.content.away = {"corrected-a", "log-a", "corrected-c", "log-c"}
    for wish in ("format=zip", "include=corrections"):
        answer = await client.get(f"/v1/results/batch-1?{wish}")
        assert answer.status_code == 503
        assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    "wish", ["format=xlsx", "format=", "include=texts", "format=csv&include=corrections"]
)
async def test_a_wish_that_is_not_understood_is_refused(
    results: Serving, client: httpx.AsyncClient, wish: str
) -> None:
    """An unknown format or inclusion is a clear 400, never something else than was asked for."""
    await results.hear(Story().without_failures())

    answer = await client.get(f"/v1/results/batch-1?{wish}")

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_event_id_that_none_ever_had_is_refused(
    results: Serving, client: httpx.AsyncClient
) -> None:
    """A Last-Event-ID that is no number is a clear 400."""
    await results.hear(Story().without_failures())

    for text in ("x", "-1", "9" * 20, "٣"):
        answer = await client.get("/v1/results/batch-1/events", params={"last_event_id": text})
        assert answer.status_code == 400
