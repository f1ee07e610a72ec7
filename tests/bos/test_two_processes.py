"""A keyed action in two processes that share a store: one effect, one answer."""

from pathlib import Path

import anyio
import httpx
import pytest

from tests.bos.building import FAILED, Bos, essays_ready, phase_outcome, running_bos
from tests.bos.test_http_actions import hears

pytestmark = pytest.mark.anyio
ESSAYS = ["essay-1", "essay-2", "essay-3"]
BATCHES = 8


async def batch_for(bos: Bos, action: str) -> str:
    """Return a batch in whose state this may be done, once."""
    batch_id = str((await bos.register()).json()["batch_id"])
    if action == "retry":
        await hears(bos, essays_ready(batch_id, ESSAYS))
        await hears(bos, phase_outcome(batch_id, FAILED, [], ESSAYS))
    return batch_id


@pytest.mark.parametrize("action", ["proceed", "cancel", "retry"])
async def test_an_action_under_one_key_has_one_effect_in_two_processes(
    tmp_path: Path, action: str
) -> None:
    """Asked of both at once, it is said once, and both give the same answer to the byte."""
    async with running_bos(tmp_path) as one, running_bos(tmp_path) as other:
        for number in range(BATCHES):
            batch_id = await batch_for(one, action)
            before = len(await one.outbox())
            answers: list[httpx.Response] = []

            async def ask(bos: Bos, path: str, key: str, answers: list[httpx.Response]) -> None:
                answers.append(await bos.client.post(path, headers={"Idempotency-Key": key}))

            async with anyio.create_task_group() as tasks:
                for bos in (one, other):
                    path = f"/v1/batches/{batch_id}/{action}"
                    tasks.start_soon(ask, bos, path, f"key-{number}", answers)

            assert {answer.status_code for answer in answers} == {202}
            assert len({answer.content for answer in answers}) == 1
            assert len(await one.outbox()) == before + 1
