"""A class of essays from registration to results, through every module."""

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from huleedu.core.enums import ProcessingEvent
from huleedu.core.message import Header, Message
from huleedu.core.topics import topic_name
from huleedu.store import outbox
from tests.e2e.school import School, school
from tests.support.builders import AT, registered
from tests.support.dead_letters import read_dead_letters
from tests.support.eventually import eventually

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[School]:
    async with school(tmp_path) as one:
        yield one


async def test_two_classes_at_once_are_checked_in_their_languages(running: School) -> None:
    """Every essay of both comes out corrected, each thing said under one event id."""
    batches: dict[str, str] = {}

    async def hand_in(course: str, folder: str) -> None:
        batches[course] = await running.hand_in(course, EXAMPLES / folder)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hand_in, "ENG5", "eng5")
        tasks.start_soon(hand_in, "SV1", "sv1")
    for batch_id in batches.values():
        batch = await running.ended(batch_id)
        assert batch["status"] == "completed_successfully"
        counts = batch["pipeline_state"]["spellcheck"]["essay_counts"]
        assert counts == {
            "total": 12,
            "pending_dispatch_or_processing": 0,
            "successful": 12,
            "failed": 0,
        }
    english = await running.results(batches["ENG5"])
    swedish = await running.results(batches["SV1"])

    assert {essay["status"] for essay in english["essays"]} == {"spellchecked_success"}
    corrected = {
        one["original"]: one["correction"]
        for results in (english, swedish)
        for essay in results["essays"]
        for one in essay["corrections"]
    }
    assert corrected["definately"] == "definitely"
    said = await running.said()
    assert len({event_id for _, event_id, _ in said}) == len(said)


async def test_everything_about_a_batch_carries_the_correlation_id_of_its_registration(
    running: School,
) -> None:
    correlation_id = "0f6c2c9e-8f9b-4c54-9d0e-8f5d6a1c2b3d"
    answer = await running.client.post(
        "/v1/batches/trigger-spellcheck-test", headers={"X-Correlation-ID": correlation_id}
    )
    assert answer.status_code == 202
    assert answer.json()["correlation_id"] == correlation_id
    assert answer.headers["X-Correlation-ID"] == correlation_id
    batch = await running.ended(answer.json()["batch_id"])

    assert batch["status"] == "completed_successfully"
    said = await running.said()
    assert {correlation for _, _, correlation in said} == {correlation_id}
    assert {topic for topic, _, _ in said} == {
        topic_name(event)
        for event in (
            ProcessingEvent.BATCH_ESSAYS_REGISTERED,
            ProcessingEvent.ESSAY_CONTENT_READY,
            ProcessingEvent.BATCH_ESSAYS_READY,
            ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND,
            ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED,
            ProcessingEvent.BATCH_PHASE_CONCLUDED,
        )
    }


async def test_the_zip_holds_the_corrected_texts_and_their_logs(running: School) -> None:
    batch_id = await running.hand_in("ENG5", EXAMPLES / "eng5")
    await running.ended(batch_id)
    await running.results(batch_id)

    answer = await running.client.get(f"/v1/results/{batch_id}?format=zip")

    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    names = archive.namelist()
    assert len([name for name in names if name.endswith(".txt")]) == 12
    assert len([name for name in names if name.endswith(".json")]) == 12
    text = archive.read("mobile phones.txt")
    assert b"definitely" in text or b"because" in text


async def test_broken_files_beside_good_ones_are_told_and_the_good_ones_count(
    running: School,
) -> None:
    registered_batch = await running.register("ENG5", 2)
    batch_id = registered_batch.json()["batch_id"]

    answer = await running.upload(
        batch_id,
        {
            "empty.txt": b"",
            "picture.docx": b"\x89PNG\r\n\x1a\n" + bytes(100),
            "slides.pptx": b"PK\x03\x04",
            "good.txt": b"This is definately fine.",
        },
    )

    files = answer.json()["files"]
    assert answer.status_code == 202
    assert [("error" in one, one.get("essay_id")) for one in files] == [
        (True, None),
        (True, None),
        (True, None),
        (False, "essay-01"),
    ]
    second = await running.upload(batch_id, {"other.txt": b"The secound one."})
    assert second.json()["files"][0]["essay_id"] == "essay-02"
    assert (await running.ended(batch_id))["status"] == "completed_successfully"


async def test_an_undecodable_event_and_one_of_an_unknown_version_go_aside_alone(
    running: School,
) -> None:
    """Their neighbours are processed, and the bytes are kept as they came."""
    topic = topic_name(ProcessingEvent.BATCH_ESSAYS_REGISTERED)
    good = registered("neighbour", ["e1"])
    newer = registered("newer", ["e1"])
    broken = Message(topic, b"broken", b"{", {Header.EVENT_ID: "broken-1"})
    unknown = Message(
        topic,
        b"newer",
        newer.value.replace(b'"schema_version":1', b'"schema_version":7'),
        newer.headers,
    )
    await running.running.stores["bos"].write(
        lambda db: outbox.add(db, [broken, good, unknown], AT)
    )

    async def status() -> int:
        return (await running.client.get("/v1/batches/neighbour/status")).status_code

    async def letters() -> list[tuple[str, bytes]]:
        kept = await running.running.stores["dead_letters"].read(read_dead_letters)
        return sorted((m.headers["dead-letter-group"], m.value) for m in kept)

    await eventually(status, lambda code: code == 200)
    groups = [
        "essay-lifecycle-service-group-v1.0",
        "file-service-group-v1.0",
        "results-service-group-v1.0",
    ]
    expected = sorted((g, value) for g in groups for value in (broken.value, unknown.value))
    assert await eventually(letters, lambda kept: len(kept) >= len(expected)) == expected


@pytest.mark.slow
async def test_a_restart_goes_on_where_the_last_run_ended(tmp_path: Path) -> None:
    """A class whose last file came before the stop is checked after it."""
    async with school(tmp_path) as before:
        batch_id = await before.hand_in("ENG5", EXAMPLES / "eng5")
    async with school(tmp_path) as after:
        batch = await after.ended(batch_id)

        assert batch["status"] == "completed_successfully"
