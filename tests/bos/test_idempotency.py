"""A registration that is sent again."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import anyio
import httpx
import pytest

from huleedu.bos import purge_answers
from huleedu.bos.answers import remember_answer
from huleedu.bos.idempotency import Answer, KeyedRequest, UnusableKey, keyed_request
from tests.bos.building import Bos, body, running_bos

pytestmark = pytest.mark.anyio
REGISTER = "/v1/batches/register"
KEY = {"Idempotency-Key": "class-9a-monday"}


@pytest.fixture
async def bos(tmp_path: Path) -> AsyncIterator[Bos]:
    async with running_bos(tmp_path) as bos:
        yield bos


async def count_batches(bos: Bos) -> int:
    count: int = await bos.database.read(
        lambda db: db.execute("SELECT count(*) FROM batch").fetchone()[0]
    )
    return count


async def all_at_once(*senders: tuple[Bos, int]) -> list[httpx.Response]:
    answers: list[httpx.Response] = []

    async def send(bos: Bos) -> None:
        answers.append(await bos.client.post(REGISTER, json=body(), headers=KEY))

    async with anyio.create_task_group() as tasks:
        for bos, times in senders:
            for _ in range(times):
                tasks.start_soon(send, bos)
    return answers


async def test_a_retry_gets_the_first_answer(bos: Bos) -> None:
    """To the byte, also with another spacing and order of keys; nothing happens twice."""
    first = await bos.client.post(REGISTER, json=body(), headers=KEY)
    reordered = dict(reversed(body().items()))
    again = await bos.client.post(REGISTER, json=reordered, headers=KEY)

    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.status_code == 202
    assert len(await bos.outbox()) == 1


async def test_another_body_under_the_same_key_is_refused(bos: Bos) -> None:
    """422 says what to do; the first batch stays the only one."""
    await bos.client.post(REGISTER, json=body(), headers=KEY)
    other = await bos.client.post(REGISTER, json=body(course_code="SV1"), headers=KEY)

    assert (other.status_code, other.headers["content-type"]) == (422, "application/problem+json")
    assert await count_batches(bos) == 1


async def test_a_refused_registration_does_not_use_up_its_key(bos: Bos) -> None:
    """Whoever corrects the body may send it under the same key."""
    refused = await bos.client.post(REGISTER, json=body(course_code="FR1"), headers=KEY)
    corrected = await bos.client.post(REGISTER, json=body(), headers=KEY)

    assert (refused.status_code, corrected.status_code) == (400, 202)


async def test_without_a_key_each_request_is_its_own(bos: Bos) -> None:
    """Two equal registrations are two batches."""
    first, second = await bos.register(), await bos.register()

    assert first.json()["batch_id"] != second.json()["batch_id"]


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "två", "a b", "tab\there"])
async def test_a_key_that_is_none_is_refused(key: str) -> None:
    """1 to 255 visible ASCII characters."""
    with pytest.raises(UnusableKey):
        keyed_request("register_batch", key, {})


async def test_an_unusable_key_is_the_callers_fault(bos: Bos) -> None:
    """400, and nothing is registered."""
    answer = await bos.client.post(REGISTER, json=body(), headers={"Idempotency-Key": "a b"})

    assert answer.status_code == 400
    assert await bos.outbox() == []


async def test_fifty_at_once_register_one_batch(bos: Bos) -> None:
    """Each gets the first answer, or is asked to come again while that is being made."""
    answers = await all_at_once((bos, 50))

    accepted = {answer.content for answer in answers if answer.status_code == 202}
    waiting = [answer for answer in answers if answer.status_code == 409]
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert all("retry-after" in answer.headers for answer in waiting)
    assert len(accepted) == 1
    assert await count_batches(bos) == 1
    assert len(await bos.outbox()) == 1


async def test_two_processes_on_one_store_register_one_batch(bos: Bos, tmp_path: Path) -> None:
    """Neither knows of the other's requests; the store does."""
    async with running_bos(tmp_path) as other:
        answers = await all_at_once((bos, 10), (other, 10))
        statuses = Counter(answer.status_code for answer in answers)

        assert set(statuses) <= {202, 409}
        assert statuses[202] >= 2  # at least the first of each process
        assert len({a.content for a in answers if a.status_code == 202}) == 1
        assert await count_batches(bos) == 1
        assert len(await other.outbox()) == 1


async def test_a_request_that_failed_can_be_sent_again(bos: Bos) -> None:
    """A store that could not write has kept nothing, the key is free."""
    await bos.database.write(lambda db: db.execute("ALTER TABLE outbox RENAME TO elsewhere"))
    failed = await bos.client.post(REGISTER, json=body(), headers=KEY)
    await bos.database.write(lambda db: db.execute("ALTER TABLE elsewhere RENAME TO outbox"))
    again = await bos.client.post(REGISTER, json=body(), headers=KEY)

    assert (failed.status_code, again.status_code) == (500, 202)
    assert await count_batches(bos) == 1


async def test_the_smoke_test_may_have_a_key_too(bos: Bos) -> None:
    """The same words under the key of another operation are another request."""
    path = "/v1/batches/trigger-spellcheck-test"
    first = await bos.client.post(path, headers=KEY)
    again = await bos.client.post(path, headers=KEY)
    registration = await bos.client.post(REGISTER, json=body(), headers=KEY)

    assert (first.content, registration.status_code) == (again.content, 202)
    assert await count_batches(bos) == 2


async def test_old_answers_are_forgotten(bos: Bos) -> None:
    """After the time to keep them, the key is free."""
    first = await bos.client.post(REGISTER, json=body(), headers=KEY)
    now = bos.platform.clock.now()

    kept = await bos.database.write(lambda db: purge_answers(db, now, timedelta(days=1)))
    later = now + timedelta(days=2)
    await bos.database.write(
        lambda db: remember_answer(db, KeyedRequest("any", "other", ""), Answer(202, b""), later)
    )
    gone = await bos.database.write(lambda db: purge_answers(db, later, timedelta(days=1)))
    second = await bos.client.post(REGISTER, json=body(), headers=KEY)

    assert (kept, gone) == (0, 1)
    assert first.json()["batch_id"] != second.json()["batch_id"]
