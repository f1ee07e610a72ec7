"""Extend, proceed, cancel and retry over HTTP."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from prometheus_client import REGISTRY

from huleedu.bos.handlers import apply
from huleedu.core.enums import ProcessingEvent
from huleedu.core.envelope import decode
from huleedu.core.message import Message
from huleedu.core.messages import (
    BatchCancelled,
    BatchReadinessExtended,
    BatchServiceSpellcheckInitiateCommandDataV1,
)
from huleedu.core.topics import event_on
from tests.bos.building import (
    FAILED,
    PARTIAL,
    SUCCESS,
    Bos,
    essays_ready,
    phase_outcome,
    running_bos,
)
from tests.support.builders import AT, hear, spellcheck_result

pytestmark = pytest.mark.anyio
ESSAYS = ["essay-1", "essay-2", "essay-3"]
KEY = {"Idempotency-Key": "on-a-monday"}
E = ProcessingEvent


@pytest.fixture
async def bos(tmp_path: Path) -> AsyncIterator[Bos]:
    async with running_bos(tmp_path) as bos:
        yield bos


async def registered(bos: Bos) -> str:
    return str((await bos.register()).json()["batch_id"])


async def act(
    bos: Bos, batch_id: str, action: str, headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    return await bos.client.post(
        f"/v1/batches/{batch_id}/{action}",
        headers={"Content-Type": "application/json", **(headers or {})},
        **more,
    )


async def extend(bos: Bos, batch_id: str, **ahead: float) -> httpx.Response:
    return await act(bos, batch_id, "extend", json={"deadline": in_future(**ahead)})


def in_future(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


async def hears(bos: Bos, *messages: Message) -> list[Message]:
    """What BOS says to these, which come in one fetch."""
    return await bos.database.write(
        lambda db: list(apply(db, [hear(message) for message in messages], AT))
    )


async def seen(bos: Bos, batch_id: str) -> dict[str, Any]:
    view: dict[str, Any] = (await bos.client.get(f"/v1/batches/{batch_id}")).json()
    return view


async def said(bos: Bos) -> Sequence[Message]:
    """What was said after the registration."""
    return [m for m in await bos.outbox() if event_on(m.topic) is not E.BATCH_ESSAYS_REGISTERED]


async def test_an_extension_is_kept_and_said(bos: Bos) -> None:
    """202 with the batch's status; ELS is told the moment, under the batch's own ids."""
    batch_id = await registered(bos)
    deadline = datetime.now(UTC) + timedelta(days=2)

    answer = await act(bos, batch_id, "extend", json={"deadline": deadline.isoformat()})

    assert answer.status_code == 202
    assert answer.json() == {
        "batch_id": batch_id,
        "status": "awaiting_content_validation",
        "attempt": 1,
    }
    [message] = await said(bos)
    envelope = decode(message.topic, message.value)
    assert event_on(message.topic) is E.BATCH_READINESS_EXTENDED
    assert isinstance(envelope.data, BatchReadinessExtended)
    assert (envelope.data.deadline, message.key) == (deadline, batch_id.encode())
    assert str(envelope.correlation_id) == (await seen(bos, batch_id))["correlation_id"]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, ("missing", "this field is required")),
        ({"deadline": None}, ("string_type", "a time as text is meant, not null")),
        ({"deadline": 5}, ("string_type", "a time as text is meant, not a number")),
        ({"deadline": "tomorrow"}, ("datetime_parsing", "'tomorrow': a time with its offset")),
        ({"deadline": "2099-01-12T08:00:00"}, ("datetime_parsing", "its offset from UTC")),
        ({"deadline": "2020-01-12T08:00:00Z"}, ("datetime_future", "it is past")),
        ({"deadline": in_future(days=91)}, ("out_of_range", "more than 90 days ahead")),
    ],
)
async def test_a_deadline_must_be_a_moment_to_come(
    bos: Bos, body: dict[str, Any], fault: tuple[str, str]
) -> None:
    """Everything else is told as the faults of a registration are, and nothing is said."""
    batch_id = await registered(bos)

    answer = await act(bos, batch_id, "extend", json=body)

    assert (answer.status_code, answer.json()["error"]) == (400, "Validation Error")
    [told] = answer.json()["details"]
    assert (told["loc"], told["type"]) == (["deadline"], fault[0])
    assert fault[1] in told["msg"]
    assert await said(bos) == []


@pytest.mark.parametrize(
    ("action", "content", "error"),
    [
        ("extend", b"", "Request body must be valid JSON"),
        ("extend", b"{", "Request body must be valid JSON"),
        ("cancel", b"nonsense", "Request body must be valid JSON"),
        ("extend", b"[]", "Validation Error"),
        ("proceed", b"[1]", "Validation Error"),
        ("retry", b"7", "Validation Error"),
        ("cancel", b'"x"', "Validation Error"),
        ("cancel", b'{"reason": 5, "cancelled_by": " "}', "Validation Error"),
    ],
)
async def test_a_body_that_is_none_is_told_so(
    bos: Bos, action: str, content: bytes, error: str
) -> None:
    """As of a registration; nothing happens."""
    batch_id = await registered(bos)

    answer = await act(bos, batch_id, action, content=content)

    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert await said(bos) == []


@pytest.mark.parametrize("content", [b"", b"{}", b'{"colour": "red"}'])
async def test_proceeding_is_kept_and_said_once(bos: Bos, content: bytes) -> None:
    """A second wish is refused with a teacher's reason."""
    batch_id = await registered(bos)

    first = await act(bos, batch_id, "proceed", content=content)
    second = await act(bos, batch_id, "proceed")

    assert (first.status_code, second.status_code) == (202, 409)
    assert second.headers["content-type"] == "application/problem+json"
    assert second.json()["detail"] == (
        "The batch was told already to go on with the essays that are there."
    )
    assert "retry-after" not in second.headers
    assert [event_on(m.topic) for m in await said(bos)] == [E.BATCH_PROCEED_REQUESTED]


async def test_cancelling_is_kept_and_said(bos: Bos) -> None:
    """The status is cancelled at once; the reason and who did it go along."""
    batch_id = await registered(bos)
    body = {"reason": "the wrong class", "cancelled_by": "Eva"}

    answer = await act(bos, batch_id, "cancel", json=body)

    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    [message] = await said(bos)
    data = decode(message.topic, message.value).data
    assert isinstance(data, BatchCancelled)
    assert (data.reason, data.cancelled_by) == ("the wrong class", "Eva")
    assert (await hears(bos, essays_ready(batch_id, ESSAYS))) == []
    assert (await seen(bos, batch_id))["status"] == "cancelled"


async def test_failed_essays_are_checked_again_until_all_are_done(bos: Bos) -> None:
    """Each retry commands what failed and has a text, under the next attempt."""
    batch_id = await registered(bos)
    await hears(bos, essays_ready(batch_id, ESSAYS[:2]))
    await hears(bos, phase_outcome(batch_id, FAILED, [], ESSAYS))

    attempts: list[tuple[str, list[str]]] = []
    for attempt, failed in ((2, ESSAYS[1:]), (3, ESSAYS[2:])):
        answer = await act(bos, batch_id, "retry")
        assert (answer.status_code, answer.json()["status"]) == (202, "processing_pipelines")
        command = (await said(bos))[-1]
        data = decode(command.topic, command.value).data
        assert isinstance(data, BatchServiceSpellcheckInitiateCommandDataV1)
        essays = [f"{one.essay_id}={one.text_storage_id}" for one in data.essays_to_process]
        attempts.append((command.headers["attempt"], essays))
        done = [essay for essay in ESSAYS if essay not in failed]
        await hears(bos, phase_outcome(batch_id, PARTIAL, done, failed, attempt=attempt))
    refused = await act(bos, batch_id, "retry")

    assert attempts == [
        ("2", ["essay-1=text-essay-1", "essay-2=text-essay-2"]),
        ("3", ["essay-2=text-essay-2"]),
    ]
    assert refused.status_code == 409
    assert "have no text" in refused.json()["detail"]
    view = await seen(bos, batch_id)
    assert (view["status"], view["attempt"]) == ("completed_with_failures", 3)
    assert view["pipeline_state"]["spellcheck"]["essay_counts"]["failed"] == 1


async def test_a_checker_without_attempts_may_repeat_itself_during_a_retry(bos: Bos) -> None:
    """What it says again of an essay that is not checked again is not counted."""
    batch_id = await registered(bos)
    await hears(bos, essays_ready(batch_id, ESSAYS))
    await hears(bos, phase_outcome(batch_id, PARTIAL, ESSAYS[:2], ESSAYS[2:]))
    await act(bos, batch_id, "retry")

    await hears(bos, spellcheck_result(batch_id, "essay-1", attempt=None))
    before = (await seen(bos, batch_id))["pipeline_state"]["spellcheck"]["essay_counts"]
    await hears(bos, spellcheck_result(batch_id, "essay-3", attempt=None))
    after = (await seen(bos, batch_id))["pipeline_state"]["spellcheck"]["essay_counts"]

    assert (before["successful"], before["pending_dispatch_or_processing"]) == (2, 1)
    assert (after["successful"], after["pending_dispatch_or_processing"]) == (3, 0)


@pytest.mark.parametrize("action", ["extend", "proceed", "cancel", "retry"])
async def test_an_unknown_batch_is_not_found(bos: Bos, action: str) -> None:
    """404, and nothing is said."""
    answer = await act(bos, "nowhere", action, json={"deadline": in_future(hours=1)})

    assert answer.status_code == 404
    assert "nowhere" in answer.json()["detail"]
    assert await bos.outbox() == []


@pytest.mark.parametrize("action", ["extend", "proceed", "cancel", "retry"])
async def test_a_repeat_under_its_key_gets_the_first_answer(bos: Bos, action: str) -> None:
    """Though the batch's state would refuse it by now; another body under the key is refused."""
    batch_id = await registered(bos)
    body = {"deadline": in_future(hours=1)}
    if action == "retry":
        await hears(bos, essays_ready(batch_id, ESSAYS))
        await hears(bos, phase_outcome(batch_id, FAILED, [], ESSAYS))
    first = await act(bos, batch_id, action, json=body, headers=KEY)
    again = await act(bos, batch_id, action, json=body, headers=KEY)
    other = await act(bos, batch_id, action, json=body | {"reason": "x"}, headers=KEY)

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.content == again.content
    assert other.status_code == 422
    assert len(await said(bos)) == 1


async def test_one_key_may_serve_several_batches_and_actions(bos: Bos) -> None:
    """A key stands for one action on one batch."""
    one, two = await registered(bos), await registered(bos)

    answers = [
        await act(bos, one, "proceed", headers=KEY),
        await act(bos, two, "proceed", headers=KEY),
        await act(bos, one, "cancel", headers=KEY),
    ]

    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert len(await said(bos)) == 3


@pytest.mark.parametrize("action", ["proceed", "cancel", "retry"])
async def test_many_at_once_in_two_processes_have_one_effect(
    bos: Bos, tmp_path: Path, action: str
) -> None:
    """One is taken, the others are refused; it is said once."""
    batch_id = await registered(bos)
    if action == "retry":
        await hears(bos, essays_ready(batch_id, ESSAYS))
        await hears(bos, phase_outcome(batch_id, FAILED, [], ESSAYS))
    answers: list[int] = []

    async def send(to: Bos) -> None:
        answers.append((await act(to, batch_id, action)).status_code)

    async with running_bos(tmp_path) as other, anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(send, bos)
            tasks.start_soon(send, other)

    assert Counter(answers) == {202: 1, 409: 9}
    assert len(await said(bos)) == 1


async def test_a_cancel_and_a_proceed_at_once_are_decided_one_after_the_other(bos: Bos) -> None:
    """Whichever comes first, the batch ends cancelled, and what was said fits the answers."""
    batch_id = await registered(bos)
    taken: dict[str, int] = {}

    async def send(action: str) -> None:
        taken[action] = (await act(bos, batch_id, action)).status_code

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, "proceed")
        tasks.start_soon(send, "cancel")

    assert taken["cancel"] == 202
    assert len(await said(bos)) == list(taken.values()).count(202)
    assert (await seen(bos, batch_id))["status"] == "cancelled"


async def test_what_cannot_be_stored_is_not_taken(bos: Bos) -> None:
    """Neither the state nor the key is used up when the outbox cannot be written."""
    batch_id = await registered(bos)
    await bos.database.write(lambda db: db.execute("ALTER TABLE outbox RENAME TO elsewhere"))
    failed = await act(bos, batch_id, "cancel", headers=KEY)
    await bos.database.write(lambda db: db.execute("ALTER TABLE elsewhere RENAME TO outbox"))
    again = await act(bos, batch_id, "cancel", headers=KEY)

    assert (failed.status_code, again.status_code) == (500, 202)


async def test_actions_are_counted(bos: Bos) -> None:
    """By action, and by what became of them."""

    def counted(operation: str, status: str) -> float:
        labels = {"operation": operation, "status": status}
        return REGISTRY.get_sample_value("batch_operations_total", labels) or 0.0

    wanted = [("cancel_batch", "success"), ("cancel_batch", "validation_error")]
    before = [counted(*one) for one in wanted]
    batch_id = await registered(bos)
    await act(bos, batch_id, "cancel")
    await act(bos, batch_id, "cancel")

    assert [counted(*one) - past for one, past in zip(wanted, before, strict=True)] == [1, 1]


async def test_a_batch_that_is_done_is_left_alone(bos: Bos) -> None:
    """Every action on it is refused."""
    batch_id = await registered(bos)
    await hears(bos, essays_ready(batch_id, ESSAYS))
    await hears(bos, phase_outcome(batch_id, SUCCESS, ESSAYS))
    before = await seen(bos, batch_id)

    answers = [await extend(bos, batch_id, hours=1)]
    answers += [await act(bos, batch_id, action) for action in ("proceed", "cancel", "retry")]

    assert {answer.status_code for answer in answers} == {409}
    assert await seen(bos, batch_id) == before


async def test_the_actions_are_documented(bos: Bos) -> None:
    """Bodies, keys and every status are in the OpenAPI document."""
    paths = (await bos.client.get("/openapi.json")).json()["paths"]

    for action in ("extend", "proceed", "cancel", "retry"):
        operation = paths[f"/v1/batches/{{batch_id}}/{action}"]["post"]
        assert sorted(operation["responses"]) == ["202", "400", "404", "409", "413", "422", "503"]
        assert ("requestBody" in operation) == (action in ("extend", "cancel"))
