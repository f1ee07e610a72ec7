"""A request that is sent many times at once under one Idempotency-Key has one effect."""

import uuid
from collections.abc import Sequence
from pathlib import Path

import anyio
import httpx

from tests.crash.process import HuleeduProcess
from tests.endurance.report import Finding
from tests.support.classes import registration

CLIENTS = 50
TRIES_MAX = 100  # of one client that is told that the first request is under way


async def race(url: str) -> Sequence[str]:
    """Send one registration fifty times at once, and then another under its key."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    bodies: list[bytes] = []
    faults: list[str] = []
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:

        async def send() -> None:
            for _ in range(TRIES_MAX):
                answer = await client.post(
                    "/v1/batches/register", json=registration(1), headers=key
                )
                if answer.status_code != 409:
                    break
                await anyio.sleep(0.05)
            bodies.append(answer.content)
            if answer.status_code != 202:
                faults.append(f"{answer.status_code}: {answer.text[:200]}")

        async with anyio.create_task_group() as tasks:
            for _ in range(CLIENTS):
                tasks.start_soon(send)
        other = await client.post("/v1/batches/register", json=registration(2), headers=key)
    if len(set(bodies)) != 1:
        faults.append(f"{len(set(bodies))} different answers")
    if other.status_code != 422:
        faults.append(f"another registration under the key: {other.status_code}")
    return faults


def check_one_key(directory: Path, races: int = 100) -> Finding:
    """Race so many keys against a running program, and count the batches that there are then."""
    server = HuleeduProcess(directory / "data", directory / "log.jsonl")
    server.start()
    faults: list[str] = []
    try:
        for number in range(races):
            faults += [f"race {number}: {fault}" for fault in anyio.run(race, server.url)]
        batches = _count_batches(server.url)
        code = server.stop()
    finally:
        if server.is_running:
            server.kill()
    if batches != races:
        faults.append(f"{batches} batches after {races} registrations")
    if code:
        faults.append(f"it ended with {code}")
    seen = f"{races} races of {CLIENTS} requests, {batches} batches"
    return Finding("one key, one effect", seen, faults)


def _count_batches(url: str) -> int:
    count, cursor = 0, None
    with httpx.Client(base_url=url, timeout=60) as client:
        while True:
            parameters = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
            page = client.get("/v1/batches", params=parameters).json()
            count += len(page["batches"])
            cursor = page.get("next_cursor")
            if not cursor:
                return count
