"""SIGTERM with streams open and essays on their way: a good end in time, and nothing done twice."""

import random
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import anyio
import httpx

from tests.endurance.controlled import ControlledProcess
from tests.endurance.report import Finding
from tests.support.classes import registration, texts, wait_until_over
from tests.support.eventually import eventually

STREAMS = 50
CLASSES = 3
ESSAYS = 4
STOP_SECONDS_MAX = 10.0
STOPPED = "stopped"


class Stops:
    """A program that is stopped in the midst of its work again and again."""

    def __init__(self, directory: Path, seed: int, planted: str | None = None) -> None:
        self._chance = random.Random(seed)
        self._server = ControlledProcess(directory, PLANTED=planted or "")
        self._batches: list[str] = []
        self.slowest = 0.0
        self.handled = 0
        self.faults: list[str] = []

    def run(self, stops: int) -> None:
        """Start it, stop it so many times, and look at what came of the essays."""
        try:
            for number in range(stops):
                self._server.start()
                anyio.run(self._stop_at_work, number)
            self._server.start()
            for batch_id in self._batches:
                status = wait_until_over(self._server.url, batch_id)
                if status != "completed_successfully":
                    self.faults.append(f"{batch_id} is {status}")
            self._server.stop()
        finally:
            if self._server.is_running:
                self._server.kill()
        lines = self._server.handled.read_text().splitlines()
        self.handled = len(lines)
        self.faults += done_again(lines)

    async def _stop_at_work(self, number: int) -> None:
        limits = httpx.Limits(max_connections=STREAMS + 10)
        url = self._server.url
        async with (
            httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client,
            anyio.create_task_group() as tasks,
        ):
            opened = anyio.Semaphore(0)
            waiting = await self._register(client, 1)
            for _ in range(STREAMS):
                tasks.start_soon(self._follow, client, waiting, opened)
            with anyio.fail_after(60):
                for _ in range(STREAMS):
                    await opened.acquire()
            for _ in range(CLASSES):
                tasks.start_soon(self._hand_in, client)
            await anyio.sleep(self._chance.uniform(0.0, 2.0))
            began = time.monotonic()
            code = await anyio.to_thread.run_sync(self._server.stop)
            seconds = time.monotonic() - began
        with self._server.handled.open("a") as handled:
            handled.write(f"{STOPPED}\n")
        self.slowest = max(self.slowest, seconds)
        if code:
            self.faults.append(f"stop {number}: exit code {code}")
        if seconds > STOP_SECONDS_MAX:
            self.faults.append(f"stop {number}: after {seconds:.1f} s")

    async def _register(self, client: httpx.AsyncClient, essays: int) -> str:
        answer = await client.post("/v1/batches/register", json=registration(essays))
        assert answer.status_code == 202, answer.text
        batch_id: str = answer.json()["batch_id"]

        async def look() -> int:
            return (await client.get(f"/v1/results/{batch_id}")).status_code

        await eventually(look, lambda status: status == 200, seconds=60)
        return batch_id

    async def _hand_in(self, client: httpx.AsyncClient) -> None:
        try:
            batch_id = await self._register(client, ESSAYS)
            parts = [("files", file) for file in texts(ESSAYS)]
            answer = await client.post("/v1/files/batch", data={"batch_id": batch_id}, files=parts)
        except httpx.TransportError:
            return  # nothing was promised
        if answer.status_code == 202:
            self._batches.append(batch_id)

    async def _follow(
        self, client: httpx.AsyncClient, batch_id: str, opened: anyio.Semaphore
    ) -> None:
        try:
            async with client.stream("GET", f"/v1/results/{batch_id}/events") as stream:
                opened.release()
                async for _ in stream.aiter_bytes():
                    pass
        except httpx.TransportError as error:
            self.faults.append(f"a stream was cut instead of ended: {error!r}")


def done_again(lines: Sequence[str]) -> list[str]:
    """Return which messages were delivered again after every group had handled them.

    One that a group has not handled yet comes again to all of them, who recognise it.
    """
    process = 0
    handled: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        if line == STOPPED:
            process += 1
        else:
            group, event_id = line.split()
            handled[event_id][group].append(process)
    faults = []
    for event_id, groups in handled.items():
        finished = max(min(processes) for processes in groups.values())
        faults += [
            f"{event_id} was finished, and came again to {group}"
            for group, processes in groups.items()
            if max(processes) > finished or len(set(processes)) < len(processes)
        ]
    return faults


def check_stops(
    directory: Path, stops: int = 20, seed: int = 0, planted: str | None = None
) -> Finding:
    """Stop a program so many times; each time with fifty streams and classes on their way.

    ``planted``: a bug that the program has (see ``tests.crash.planted``).
    """
    runs = Stops(directory, seed, planted)
    runs.run(stops)
    seen = f"{stops} stops, slowest {runs.slowest:.1f} s, {runs.handled} messages handled"
    return Finding("clean stop", seen, runs.faults)
