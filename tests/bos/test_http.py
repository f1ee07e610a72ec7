"""BOS over HTTP."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from huleedu.core.enums import ContentType, ProcessingEvent
from huleedu.core.envelope import decode
from huleedu.core.ids import StorageId
from huleedu.core.messages import BatchEssaysRegistered, EssayContentReady
from huleedu.core.topics import topic_name
from tests.bos.building import Bos, body, running_bos

pytestmark = pytest.mark.anyio

CORRELATION = "0a5d1b60-77cb-4d0e-9a57-8a2f2a1c3c11"
JSON = {"Content-Type": "application/json"}
REGISTERED = topic_name(ProcessingEvent.BATCH_ESSAYS_REGISTERED)
CONTENT_READY = topic_name(ProcessingEvent.ESSAY_CONTENT_READY)


@pytest.fixture
async def bos(tmp_path: Path) -> AsyncIterator[Bos]:
    async with running_bos(tmp_path) as bos:
        yield bos


def operations(status: str, operation: str = "register_batch") -> float:
    labels = {"operation": operation, "status": status}
    return REGISTRY.get_sample_value("batch_operations_total", labels) or 0.0


async def test_a_registration_is_accepted_and_announced(bos: Bos) -> None:
    """202 names the batch; ELS is told its essays, and nothing of what the teacher wrote."""
    before = operations("success")
    answer = await bos.client.post(
        "/v1/batches/register", json=body(), headers={"X-Correlation-ID": CORRELATION}
    )

    told = answer.json()
    assert answer.status_code == 202
    assert {
        "batch_id": told["batch_id"],
        "correlation_id": CORRELATION,
        "status": "registered",
    } == told
    assert operations("success") == before + 1

    [message] = await bos.outbox()
    envelope = decode(REGISTERED, message.value)
    assert isinstance(envelope.data, BatchEssaysRegistered)
    assert envelope.data.essay_ids == ["essay-1", "essay-2", "essay-3"]
    assert ("batch-service", UUID(CORRELATION)) == (
        envelope.source_service,
        envelope.correlation_id,
    )
    assert told["batch_id"].encode() == message.key
    assert "readiness-timeout-seconds" not in message.headers
    assert b"ENG5" not in message.value
    assert b"Class 9A" not in message.value


@pytest.mark.parametrize(
    ("asked", "said"), [(90, "90"), (7_776_000, "7776000"), (1.5, "1.5"), (123_456.7, "123456.7")]
)
async def test_a_deadline_of_its_own_travels_in_a_header(bos: Bos, asked: float, said: str) -> None:
    """The batch's own deadline is said in seconds, in plain digits."""
    await bos.register(readiness_timeout_seconds=asked)

    [message] = await bos.outbox()
    assert said == message.headers["readiness-timeout-seconds"]


@pytest.mark.parametrize(
    "content", [b"", b"  ", b"{", b"nonsense", b"{}", b"null", b"[]", b"\xff", b"[" * 100_000]
)
async def test_no_empty_or_broken_json_is_told_so(bos: Bos, content: bytes) -> None:
    """Nothing that could be a registration was sent."""
    before = operations("validation_error")
    answer = await bos.client.post("/v1/batches/register", content=content, headers=JSON)

    assert (
        answer.status_code,
        answer.json(),
    ) == (400, {"error": "Request body must be valid JSON"})
    assert operations("validation_error") == before + 1


async def test_faults_are_told_all_at_once_and_nothing_is_registered(bos: Bos) -> None:
    """Every fault has its place, its words and its kind."""
    answer = await bos.register(essay_ids=["a", "a"], course_code="FR1", class_designation=...)

    assert answer.status_code == 400
    assert answer.json() == {
        "error": "Validation Error",
        "details": [
            {
                "loc": ["essay_ids", 1],
                "msg": "duplicate essay id 'a', already at position 0",
                "type": "duplicate",
            },
            {
                "loc": ["course_code"],
                "msg": "unknown course 'FR1'; these exist: ENG5, SV1",
                "type": "value_error",
            },
            {
                "loc": ["class_designation"],
                "msg": "this field is required",
                "type": "missing",
            },
        ],
    }
    assert await bos.outbox() == []


async def test_a_body_over_the_limit_is_too_large(bos: Bos) -> None:
    """More than 1 MB of JSON is refused as that."""
    answer = await bos.register(essay_instructions="x" * 1_000_001)

    assert (
        answer.status_code,
        answer.headers["content-type"],
    ) == (413, "application/problem+json")


async def test_a_store_that_cannot_write_answers_503(bos: Bos) -> None:
    """The caller is asked to come again, and nothing is half registered."""
    before = operations("error")
    await bos.database.write(lambda db: db.execute("PRAGMA busy_timeout=50"))
    with closing(sqlite3.connect(bos.database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = await bos.register()

    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert operations("error") == before + 1
    assert (await bos.register()).status_code == 202


async def test_a_fault_of_ours_is_a_500_in_the_contracts_words(bos: Bos) -> None:
    """What nobody foresaw says that the batch was not registered, and no more."""
    before = operations("error")
    await bos.database.write(lambda db: db.execute("DROP TABLE batch"))

    answer = await bos.register()

    assert (answer.status_code, answer.json()) == (500, {"error": "Failed to register batch."})
    assert operations("error") == before + 1


async def test_a_batch_is_read_back_as_registered(bos: Bos) -> None:
    """The whole context, the status and the state of the pipelines."""
    told = (await bos.register(course_code="SV1", readiness_timeout_seconds=60)).json()

    view = (await bos.client.get(f"/v1/batches/{told['batch_id']}")).json()

    assert view["context"] == {
        "expected_essay_count": 3,
        "essay_ids": ["essay-1", "essay-2", "essay-3"],
        "course_code": "SV1",
        "class_designation": "Class 9A",
        "essay_instructions": "Write about your summer.",
        "readiness_timeout_seconds": 60.0,
        "readiness_timed_out_at": None,
    }
    assert view["status"] == "awaiting_content_validation"
    assert told["correlation_id"] == view["correlation_id"]
    assert (
        view["pipeline_state"]["requested_pipelines"],
        view["pipeline_state"]["spellcheck"],
    ) == ([], None)


async def test_an_unknown_batch_is_not_found(bos: Bos) -> None:
    """404 names it."""
    answer = await bos.client.get("/v1/batches/no-such-batch")

    assert answer.status_code == 404
    assert "no-such-batch" in answer.json()["detail"]


async def test_pages_are_stable_while_batches_are_added(bos: Bos) -> None:
    """Newest first; what is registered between two pages moves nothing."""
    old = [(await bos.register()).json()["batch_id"] for _ in range(5)]

    first = (await bos.client.get("/v1/batches", params={"limit": 2})).json()
    await bos.register()
    second = (
        await bos.client.get("/v1/batches", params={"limit": 2, "cursor": first["next_cursor"]})
    ).json()
    third = (
        await bos.client.get("/v1/batches", params={"limit": 2, "cursor": second["next_cursor"]})
    ).json()

    seen = [batch["batch_id"] for page in (first, second, third) for batch in page["batches"]]
    assert list(reversed(old)) == seen
    assert third["next_cursor"] is None


async def test_batches_are_found_by_status(bos: Bos) -> None:
    """Only those in the asked status are listed."""
    batch_id = (await bos.register()).json()["batch_id"]

    async def listed(status: str) -> list[str]:
        page = (await bos.client.get("/v1/batches", params={"status": status})).json()
        return [batch["batch_id"] for batch in page["batches"]]

    assert [batch_id] == await listed("awaiting_content_validation")
    assert await listed("cancelled") == []


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "many"},
        {"status": "sleeping"},
        {"cursor": "nonsense"},
        {"cursor": "ä"},
        {"cursor": ""},
        {"cursor": "OTIyMzM3MjAzNjg1NDc3NTgwOA"},
    ],
)
async def test_a_wrong_question_is_told_so(bos: Bos, params: dict[str, str]) -> None:
    """A limit, status or cursor that is none is the caller's fault."""
    answer = await bos.client.get("/v1/batches", params=params)

    assert (
        answer.status_code,
        answer.headers["content-type"],
    ) == (400, "application/problem+json")


async def test_the_smoke_test_batch_is_registered_with_its_texts(bos: Bos) -> None:
    """Texts are stored, and said to be ready in the registration's transaction."""
    answer = await bos.client.post("/v1/batches/trigger-spellcheck-test")

    told = answer.json()
    assert (answer.status_code, told["status"]) == (202, "registered")
    registered, *ready = await bos.outbox()
    assert [message.topic for message in (registered, *ready)] == [
        REGISTERED,
        CONTENT_READY,
        CONTENT_READY,
        CONTENT_READY,
    ]
    essays: dict[str, Any] = {}
    for message in ready:
        envelope = decode(message.topic, message.value)
        assert isinstance(envelope.data, EssayContentReady)
        assert told["batch_id"] == envelope.data.batch_id
        assert ("batch-service", told["correlation_id"]) == (
            envelope.source_service,
            str(envelope.correlation_id),
        )
        storage_id = envelope.data.content_storage_reference.references[ContentType.ORIGINAL_ESSAY]
        essays[envelope.data.essay_id] = bos.content.texts[StorageId(storage_id.storage_id)]
    announced = decode(REGISTERED, registered.value).data
    assert isinstance(announced, BatchEssaysRegistered)
    assert sorted(announced.essay_ids) == sorted(essays)
    assert b"holliday" in essays["smoke-1"]


async def test_the_registration_is_documented(bos: Bos) -> None:
    """Its body, its key and every status that it answers are in the OpenAPI document."""
    document = (await bos.client.get("/openapi.json")).json()

    operation = document["paths"]["/v1/batches/register"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert sorted(schema["required"]) == sorted(body())
    assert sorted(schema["properties"]) == sorted([*body(), "readiness_timeout_seconds"])
    assert [parameter["name"] for parameter in operation["parameters"]] == ["Idempotency-Key"]
    assert sorted(operation["responses"]) == ["202", "400", "409", "413", "422", "500", "503"]
