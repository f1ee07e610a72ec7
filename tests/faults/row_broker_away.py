"""Row 4, further: the broker is away for a minute while classes are handed in.

All roles are real but the spell-checking worker's checker: how long checking takes is not at stake.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import httpx

from tests.crash.verdict import store_faults
from tests.faults.ground import (
    Ground,
    Outcome,
    Told,
    count,
    deployed,
    new_prefix,
    start_program,
    start_roles,
    stop_roles,
    tell,
    until_count,
)
from tests.faults.log_check import log_faults
from tests.support.deployment import Deployment
from tests.support.eventually import eventually

DRAIN_SECONDS_MAX = 30.0
STUCK_SECONDS = 120.0
RUN_UP_SECONDS = 4.0
COMPLETED = "SELECT count(*) FROM batch WHERE status = 'completed_successfully'"
ROLES = ("bos", "bos-worker", "els-api", "els-worker", "files", "content", "results")
TEXT = "We beleive that mobile phones should stay at home, becuase they distract us."


class School:
    """Registers batches and hands in their essays; notes how each request is answered."""

    def __init__(self, deployment: Deployment, client: httpx.AsyncClient, essays: int) -> None:
        self._urls = deployment.urls
        self._client = client
        self._essays = essays
        self.registered: list[str] = []
        self.answers: Counter[str] = Counter()

    async def register(self, wanted: int, seconds: float) -> None:
        """Register so many batches, spread over so many seconds."""
        began = anyio.current_time()
        for number in range(wanted):
            await anyio.sleep_until(began + seconds * number / wanted)
            body = {
                "expected_essay_count": self._essays,
                "essay_ids": [f"e{n:02}" for n in range(self._essays)],
                "course_code": "ENG5",
                "class_designation": "9A",
                "essay_instructions": "Write.",
            }
            answer = await self._client.post(f"{self._urls['bos']}/v1/batches/register", json=body)
            self.answers[f"register {answer.status_code}"] += 1
            if answer.status_code == 202:
                self.registered.append(answer.json()["batch_id"])

    async def hand_in(self, batch_ids: Sequence[str], seconds: float) -> None:
        """Upload the essays of these batches, spread over so many seconds."""
        began = anyio.current_time()
        for number, batch_id in enumerate(batch_ids):
            await anyio.sleep_until(began + seconds * number / len(batch_ids))
            await eventually(partial(self._upload, batch_id), bool, STUCK_SECONDS)

    async def _upload(self, batch_id: str) -> bool:
        parts = [
            ("files", (f"{n}.txt", f"Essay {n} of {batch_id}. {TEXT}".encode()))
            for n in range(self._essays)
        ]
        answer = await self._client.post(
            f"{self._urls['files']}/v1/files/batch", data={"batch_id": batch_id}, files=parts
        )
        self.answers[f"upload {answer.status_code}"] += 1
        return answer.status_code == 202


async def broker_away(
    ground: Ground, away_seconds: float, batches: int, essays: int, ways: Sequence[str]
) -> Outcome:
    """Take the broker away in each of these ways, ``killed`` or ``paused``, under load."""
    outcomes = [await _away(ground, way, away_seconds, batches, essays) for way in ways]
    return Outcome(
        "; ".join(one.faults for one in outcomes),
        [told for one in outcomes for told in one.measured],
        [fault for one in outcomes for fault in one.broken],
    )


async def _away(
    ground: Ground, way: str, away_seconds: float, batches: int, essays: int
) -> Outcome:
    servers = ground.broker.bootstrap_servers
    async with (
        deployed(ground, f"away-{way}", new_prefix()) as (deployment, data),
        httpx.AsyncClient(timeout=30) as client,
    ):
        stub = start_program(deployment, "tests.faults.stub_checker", "stub-checker")
        await start_roles(deployment, *ROLES)
        await Told(stub, ever=True).until("role_started")
        school = School(deployment, client, essays)
        await school.register(batches, 0.0)
        early = list(school.registered)
        known = "SELECT count(*) FROM batch"
        await until_count(lambda: count(data / "files.db", known), len(early), STUCK_SECONDS)
        seconds = RUN_UP_SECONDS + away_seconds
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(school.hand_in, early, seconds)
            tasks.start_soon(school.register, batches // 2, seconds)
            await anyio.sleep(RUN_UP_SECONDS)
            await _take_away(ground, way, away_seconds)
            back_at = anyio.current_time()
            before = count(data / "bos.db", COMPLETED)
        late = school.registered[len(early) :]
        await school.hand_in(late, 0.0)
        wanted = len(school.registered)
        await until_count(lambda: count(data / "bos.db", COMPLETED), wanted, STUCK_SECONDS)
        drained = anyio.current_time() - back_at
        tell(
            f"{way} for {away_seconds:g} s: {before} of {wanted} were done, {dict(school.answers)}"
        )
        sizes = dict.fromkeys(school.registered, essays)
        broken = await _settled(data, sizes)
        broken += stop_roles(deployment)
        modules = ["bos", "els", "files", "results"]
        broken += await log_faults(servers, deployment, data, modules, list(sizes))
    broken += [f"answered {one}" for one in school.answers if one[-3:] not in ("202", "404")]
    if drained > DRAIN_SECONDS_MAX:
        broken.append(f"{way}: drained only {drained:.1f} s after its return")
    return Outcome(
        f"broker {way} for {away_seconds:g} s",
        [
            f"{way}: {wanted} batches of {essays}, {wanted - before} waited for it, "
            f"drained {drained:.1f} s after its return"
        ],
        broken,
    )


async def _take_away(ground: Ground, way: str, seconds: float) -> None:
    if way == "paused":
        ground.broker.pause()
        await anyio.sleep(seconds)
        ground.broker.resume()
    else:
        await anyio.to_thread.run_sync(ground.broker.kill)
        await anyio.sleep(seconds)
        await anyio.to_thread.run_sync(ground.broker.start)


async def _settled(data: Path, sizes: dict[str, int]) -> list[str]:
    async def look() -> Sequence[str]:
        return store_faults(data, sizes)

    try:
        await eventually(look, lambda missing: not missing, 60)
    except AssertionError:
        return list(store_faults(data, sizes))
    return []
