"""The contract's table of states and actions over HTTP, row by row, through every module."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from huleedu.content.identity import storage_id_of
from huleedu.core.message import Message
from huleedu.store import outbox
from tests.e2e.school import School, school
from tests.support.builders import AT, content_ready
from tests.support.eventually import eventually

pytestmark = pytest.mark.anyio

TEXTS = {"a.txt": b"This is definately fine.", "b.txt": b"The secound one."}


class Teacher:
    """Someone with one batch, who sees it through the routes of every module."""

    def __init__(self, school: School, batch_id: str) -> None:
        self.school = school
        self.client = school.client
        self.batch_id = batch_id

    async def uploads(
        self, files: Mapping[str, bytes], essay_ids: tuple[str, ...] = ()
    ) -> list[dict[str, Any]]:
        """What is said of each file; ``essay_ids`` where it is said whose they are."""
        parts: list[tuple[str, Any]] = [("batch_id", (None, self.batch_id))]
        parts += [("essay_id", (None, essay_id)) for essay_id in essay_ids]
        parts += [("files", named) for named in files.items()]
        answer = await self.client.post("/v1/files/batch", files=parts)
        assert answer.status_code == 202, answer.text
        told: list[dict[str, Any]] = answer.json()["files"]
        return told

    async def does(self, action: str, **body: Any) -> httpx.Response:
        return await self.client.post(f"/v1/batches/{self.batch_id}/{action}", json=body)

    async def extends(self, **ahead: float) -> httpx.Response:
        deadline = datetime.now(UTC) + timedelta(**ahead)
        return await self.does("extend", deadline=deadline.isoformat())

    async def sees(
        self, path: str, holds: Callable[[Mapping[str, Any]], bool]
    ) -> Mapping[str, Any]:
        """What a route tells of the batch, once that holds."""

        async def look() -> Mapping[str, Any]:
            answer = await self.client.get(path.format(self.batch_id))
            told: Mapping[str, Any] = answer.json()
            return told

        return await eventually(look, lambda told: "batch_id" in told and holds(told), seconds=40)

    async def batch(self, status: str) -> Mapping[str, Any]:
        return await self.sees("/v1/batches/{}", lambda batch: batch["status"] == status)

    async def results(self, status: str) -> Mapping[str, Any]:
        return await self.sees(
            "/v1/results/{}", lambda told: told["status"] == status and settled(told)
        )

    async def essays(self, **breakdown: int) -> Mapping[str, Any]:
        """What ELS tells, once so many essays stand where."""
        return await self.sees(
            "/v1/batches/{}/status", lambda told: told["status_breakdown"] == breakdown
        )

    async def hears_of_text(self, essay_id: str, storage_id: str) -> None:
        """A text is announced past the upload, as another sender may do."""
        await self.says(content_ready(self.batch_id, essay_id, storage_id))

    async def says(self, message: Message) -> None:
        await self.school.running.stores["files"].write(lambda db: outbox.add(db, [message], AT))

    async def refusals(self, count: int = 1) -> list[tuple[str, str]]:
        told = await self.sees("/v1/results/{}", lambda told: len(told["refused_texts"]) == count)
        return [(one["essay_id"], one["reason"]) for one in told["refused_texts"]]


def settled(results: Mapping[str, Any]) -> bool:
    over = {"spellchecked_success", "spellcheck_failed", "content_ingestion_failed"}
    over |= {"essay_critical_failure"}
    return not results["is_finished"] or {one["status"] for one in results["essays"]} <= over


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[School]:
    async with school(tmp_path) as one:
        yield one


@pytest.fixture
async def teacher(running: School) -> Teacher:
    """One who waits for two essays."""
    return await with_batch(running)


async def with_batch(school: School, essays: int = 2, **more: Any) -> Teacher:
    registered = await school.register("ENG5", essays, **more)
    teacher = Teacher(school, registered.json()["batch_id"])
    # Uploads wait for the registration, but what is announced past them does not.
    await teacher.sees("/v1/batches/{}/status", lambda told: told["total_essays"] == essays)
    return teacher


async def test_content_for_a_free_slot_fills_it(teacher: Teacher) -> None:
    """The essay becomes ready for processing, and the batch waits for the other one."""
    await teacher.uploads({"a.txt": TEXTS["a.txt"]})

    await teacher.sees(
        "/v1/essays/essay-01/status?batch_id={}",
        lambda told: told["current_status"] == "ready_for_processing",
    )
    told = await teacher.sees("/v1/results/{}", lambda told: told["counts"]["texts_received"] == 1)
    assert told["missing_essay_ids"] == ["essay-02"]
    assert (await teacher.batch("awaiting_content_validation"))["stalled"] is None


async def test_other_content_for_a_filled_slot_replaces_it(teacher: Teacher) -> None:
    """The last one counts; the same text again changes nothing."""
    await teacher.uploads({"draft.txt": b"A first draft."}, ("essay-01",))
    await teacher.uploads({"final.txt": TEXTS["a.txt"]}, ("essay-01",))
    await teacher.uploads({"final.txt": TEXTS["a.txt"]}, ("essay-01",))
    await teacher.uploads({"b.txt": TEXTS["b.txt"]}, ("essay-02",))

    results = await teacher.results("completed_successfully")

    assert [essay["file_name"] for essay in results["essays"]] == ["final.txt", "b.txt"]
    assert results["refused_texts"] == []


async def test_content_for_a_batch_that_is_ready_is_refused(teacher: Teacher) -> None:
    """Whoever sends another text is told so; the file and the results tell why."""
    await teacher.uploads(TEXTS)
    await teacher.batch("completed_successfully")

    await teacher.hears_of_text("essay-01", "f" * 32)

    assert await teacher.refusals() == [("essay-01", "batch_ready")]
    [told] = await teacher.uploads({"late.txt": b"Too late."}, ("essay-01",))
    assert told.get("error")


async def test_content_for_a_batch_that_went_on_or_was_cancelled_is_refused(
    running: School,
) -> None:
    """And for an essay that is not of the batch."""
    told: list[tuple[str, str]] = []
    for action, essay_id in (("proceed", "essay-02"), ("cancel", "essay-02"), ("cancel", "x")):
        teacher = await with_batch(running)
        await teacher.uploads({"a.txt": TEXTS["a.txt"]})
        await teacher.essays(ready_for_processing=1, uploaded=1)
        await teacher.does(action)
        await teacher.results("completed_with_failures" if action == "proceed" else "cancelled")
        if action == "cancel":
            await teacher.essays(essay_critical_failure=2)
        await teacher.hears_of_text(essay_id, "e" * 32)
        told += await teacher.refusals()

    assert told == [
        ("essay-02", "batch_closed"),
        ("essay-02", "batch_cancelled"),
        ("x", "not_registered"),
    ]


async def test_a_deadline_that_passed_closes_nothing_and_may_be_moved(running: School) -> None:
    """What is missing is told by BOS and results; with more time the batch is completed."""
    teacher = await with_batch(running, readiness_timeout_seconds=1)
    await teacher.uploads({"a.txt": TEXTS["a.txt"]})

    timed_out = await teacher.sees(
        "/v1/batches/{}", lambda batch: batch["readiness"]["timed_out_at"] is not None
    )
    shown = await teacher.sees("/v1/results/{}", lambda told: told["timed_out_at"] is not None)
    extended = await teacher.extends(hours=1)
    await teacher.uploads({"b.txt": TEXTS["b.txt"]})
    await teacher.batch("completed_successfully")

    assert timed_out["status"] == "awaiting_content_validation"
    assert timed_out["readiness"]["missing_essay_ids"] == ["essay-02"]
    assert (shown["missing_essay_ids"], shown["is_finished"]) == (["essay-02"], False)
    assert extended.status_code == 202
    assert (await teacher.extends(hours=2)).status_code == 409


async def test_each_deadline_passes_once(running: School) -> None:
    """An extension that passes too is told again, and nothing else is."""
    teacher = await with_batch(running, readiness_timeout_seconds=1)
    first = await teacher.sees(
        "/v1/batches/{}", lambda batch: batch["readiness"]["timed_out_at"] is not None
    )
    before = first["readiness"]["timed_out_at"]
    assert (await teacher.extends(seconds=1)).status_code == 202

    await teacher.sees(
        "/v1/batches/{}", lambda batch: batch["readiness"]["timed_out_at"] not in (None, before)
    )

    said = [topic for topic, _, _ in await running.said() if "readiness.timeout" in topic]
    assert len(said) == 2


async def test_proceeding_goes_on_with_what_is_there(teacher: Teacher) -> None:
    """The missing essay has failed for want of a text, the other one is checked."""
    await teacher.uploads({"a.txt": TEXTS["a.txt"]})
    await teacher.essays(ready_for_processing=1, uploaded=1)

    answer = await teacher.does("proceed")
    batch = await teacher.batch("completed_with_failures")
    results = await teacher.results("completed_with_failures")

    assert (answer.status_code, answer.json()["status"]) == (202, "awaiting_content_validation")
    assert batch["pipeline_state"]["spellcheck"]["essay_counts"] == {
        "total": 2,
        "pending_dispatch_or_processing": 0,
        "successful": 1,
        "failed": 1,
    }
    assert [essay["status"] for essay in results["essays"]] == [
        "spellchecked_success",
        "content_ingestion_failed",
    ]
    await teacher.essays(spellchecked_success=1, content_ingestion_failed=1)
    assert (await teacher.does("retry")).status_code == 409
    assert (await teacher.does("proceed")).status_code == 409


async def test_proceeding_without_any_text_ends_the_batch(teacher: Teacher) -> None:
    """Nothing is commanded."""
    await teacher.does("proceed")
    batch = await teacher.batch("content_ingestion_failed")
    results = await teacher.results("content_ingestion_failed")

    assert batch["pipeline_state"]["spellcheck"]["essay_counts"]["failed"] == 2
    assert {essay["status"] for essay in results["essays"]} == {"content_ingestion_failed"}
    assert not [topic for topic, _, _ in await teacher.school.said() if "initiate" in topic]
    assert {(await teacher.does(action)).status_code for action in ("cancel", "retry")} == {409}


async def test_cancelling_stops_every_essay(teacher: Teacher) -> None:
    """With the reason, in ELS as in results; no readiness and no outcome follow."""
    await teacher.uploads({"a.txt": TEXTS["a.txt"]})
    await teacher.essays(ready_for_processing=1, uploaded=1)
    answer = await teacher.does("cancel", reason="the wrong class", cancelled_by="Eva")
    results = await teacher.results("cancelled")
    await teacher.essays(essay_critical_failure=2)
    await teacher.hears_of_text("essay-02", "d" * 32)
    await teacher.refusals()

    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    assert {essay["error"] for essay in results["essays"]} == {
        "The batch was cancelled: the wrong class"
    }
    batch = await teacher.batch("cancelled")
    assert batch["cancellation"]["cancelled_by"] == "Eva"
    topics = {topic for topic, _, _ in await teacher.school.said()}
    assert not [topic for topic in topics if "essays.ready" in topic or "outcome" in topic]
    refused = [await teacher.extends(hours=1), *[await teacher.does(one) for one in ACTIONS]]
    assert {one.status_code for one in refused} == {409}


def unknown_words(count: int) -> bytes:
    """A text that keeps a checker busy for seconds: every word is looked up in vain."""
    numbers = (str(10_000_000 + 7_919 * number) for number in range(count))
    return " ".join("".join("abcdeilmno"[int(d)] for d in one) for one in numbers).encode()


async def test_cancelling_while_essays_are_checked_keeps_what_is_done(running: School) -> None:
    """What was checked by then stays, the rest is stopped, and its late results change nothing."""
    teacher = await with_batch(running, essays=4)
    slow = {f"slow-{number}.txt": unknown_words(30_000 + number) for number in range(3)}
    await teacher.uploads({"a.txt": TEXTS["a.txt"], **slow})
    await teacher.sees("/v1/results/{}", lambda told: told["counts"]["succeeded"] == 1)

    answer = await teacher.does("cancel")
    batch = await teacher.batch("cancelled")
    await teacher.essays(spellchecked_success=1, essay_critical_failure=3)
    results = await teacher.results("cancelled")

    assert answer.status_code == 202
    assert batch["pipeline_state"]["spellcheck"]["essay_counts"] == {
        "total": 4,
        "pending_dispatch_or_processing": 0,
        "successful": 1,
        "failed": 3,
    }
    assert batch["pipeline_state"]["spellcheck"]["status"] == "cancelled"
    assert [essay["status"] for essay in results["essays"]] == [
        "spellchecked_success",
        *["essay_critical_failure"] * 3,
    ]


ACTIONS = ("proceed", "cancel", "retry")


async def test_what_failed_is_checked_again_when_its_text_is_there(running: School) -> None:
    """A text that was announced and not stored fails; once it is stored, a retry succeeds."""
    teacher = await with_batch(running)
    missing = b"This is realy here now."
    await teacher.uploads({"a.txt": TEXTS["a.txt"]}, ("essay-01",))
    await teacher.hears_of_text("essay-02", storage_id_of(missing))
    failed = await teacher.batch("completed_with_failures")
    await teacher.results("completed_with_failures")
    again = await teacher.does("retry")
    await teacher.sees(
        "/v1/batches/{}",
        lambda batch: (batch["attempt"], batch["status"]) == (2, "completed_with_failures"),
    )
    other = await with_batch(running)
    await other.uploads({"b.txt": missing})

    last = await teacher.does("retry")
    batch = await teacher.batch("completed_successfully")
    results = await teacher.results("completed_successfully")

    assert failed["attempt"] == 1
    assert [one.status_code for one in (again, last)] == [202, 202]
    assert (batch["attempt"], results["attempt"]) == (3, 3)
    assert batch["pipeline_state"]["spellcheck"]["essay_counts"]["successful"] == 2
    assert [essay["attempt"] for essay in results["essays"]] == [1, 3]
    said = await running.said()
    assert len({event_id for _, event_id, _ in said}) == len(said)
