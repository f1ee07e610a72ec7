"""Every role a process of its own, over a real broker."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.crash.process import essays_in
from tests.crash.submission import OVER
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.kafka_broker import ForeignBroker, KafkaBroker

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]
EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSES = {"ENG5": EXAMPLES / "eng5", "SV1": EXAMPLES / "sv1"}
ROLES = ("bos", "bos-worker", "els-api", "files", "content", "spellcheck-worker", "results")
STEP_SECONDS = 90.0


class Teacher:
    """Someone who hands in one class, under a correlation id of her own."""

    def __init__(self, deployment: Deployment, client: httpx.AsyncClient, course: str) -> None:
        self.correlation_id = str(uuid4())
        self._urls = deployment.urls
        self._client = client
        self._course = course
        self._batch_id = ""

    async def hand_in(self, folder: Path) -> None:
        files = {path.name: path.read_bytes() for path in essays_in(folder)}
        essay_ids = [f"essay-{number:02}" for number in range(1, len(files) + 1)]
        body = {
            "expected_essay_count": len(essay_ids),
            "essay_ids": essay_ids,
            "course_code": self._course,
            "class_designation": "9A",
            "essay_instructions": "Write.",
        }
        registered = await self._client.post(
            f"{self._urls['bos']}/v1/batches/register", json=body, headers=self._headers
        )
        assert registered.status_code == 202, registered.text
        self._batch_id = registered.json()["batch_id"]
        parts = [("files", named) for named in files.items()]
        uploaded = await self._client.post(
            f"{self._urls['files']}/v1/files/batch",
            data={"batch_id": self._batch_id},
            files=parts,
            headers=self._headers,
        )
        assert uploaded.status_code == 202, uploaded.text
        assert not [one for one in uploaded.json()["files"] if "error" in one]

    async def batch(self) -> Mapping[str, Any]:
        """Return what BOS says, once the batch has ended."""
        path = f"/v1/batches/{self._batch_id}"
        return await self._ended("bos", path)

    async def results(self) -> Mapping[str, Any]:
        return await self._ended("results", f"/v1/results/{self._batch_id}?include=corrections")

    async def essays(self) -> Mapping[str, Any]:
        """Return what ELS says."""
        answer = await self._client.get(
            f"{self._urls['els']}/v1/batches/{self._batch_id}/status", headers=self._headers
        )
        told: Mapping[str, Any] = answer.json()
        return told

    async def _ended(self, module: str, path: str) -> Mapping[str, Any]:
        async def look() -> Mapping[str, Any]:
            answer = await self._client.get(self._urls[module] + path, headers=self._headers)
            told: Mapping[str, Any] = answer.json()
            return told

        return await eventually(look, lambda told: told.get("status") in OVER, STEP_SECONDS)

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"X-Correlation-ID": self.correlation_id}


def is_bad(told: Mapping[str, Any]) -> bool:
    """Tell whether a line is about something that went wrong for us.

    The library calls it an error when a new broker has no coordinator yet, and asks again.
    """
    return told["level"] in ("error", "critical") and not told["logger"].startswith("aiokafka")


async def until_ready(deployment: Deployment, client: httpx.AsyncClient) -> None:
    """Return when every process has started, the workers have joined, every API is ready."""

    async def not_ready() -> Sequence[str]:
        missing = [
            name
            for name, one in deployment.processes.items()
            if not one.events("role_started")
            or (name.startswith("els-worker") and not one.events("partitions_assigned"))
        ]
        for module, url in deployment.urls.items():
            try:
                answer = await client.get(f"{url}/readyz")
            except httpx.TransportError as error:
                missing.append(f"{module}: {error!r}")
            else:
                missing += answer.json().get("reasons", ())
        return missing

    await eventually(not_ready, lambda missing: not missing, STEP_SECONDS)


@pytest.mark.kafka
async def test_both_classes_go_through_all_roles_and_tell_one_story(
    tmp_path: Path, broker: KafkaBroker | ForeignBroker, topic_prefix: str
) -> None:
    """Nine processes carry them to results; SIGTERM ends each with 0.

    The lines of all logs with a registration's correlation id are its story: every role has some.
    """
    with Deployment(tmp_path / "data", broker.bootstrap_servers, topic_prefix) as deployment:
        topics = deployment.start("topics")
        assert topics.wait() == 0, topics.log.read_text()
        assert {one["outcome"] for one in topics.events("topic_made")} == {"created"}
        del deployment.processes["topics"]

        for role in ROLES:
            deployment.start(role)
        workers = [deployment.start("els-worker", name=f"els-worker-{n}") for n in (1, 2)]
        async with httpx.AsyncClient(timeout=30) as client:
            await until_ready(deployment, client)
            teachers = [Teacher(deployment, client, course) for course in CLASSES]
            for teacher, folder in zip(teachers, CLASSES.values(), strict=True):
                await teacher.hand_in(folder)
            for teacher in teachers:
                batch, results = await teacher.batch(), await teacher.results()

                assert batch["status"] == "completed_successfully"
                assert {one["status"] for one in results["essays"]} == {"spellchecked_success"}
                assert sum(len(one["corrections"]) for one in results["essays"]) > 0
                assert (await teacher.essays())["completion_percentage"] == 100.0
        codes = deployment.stop()

        assert set(codes.values()) == {0}, codes
        for process in deployment.processes.values():
            events = process.events()
            # The client library may have a last word of its own.
            ours = [one for one in events if one["logger"].startswith("huleedu")]
            assert ours[-1]["event"] == "stopped", process.name
            bad = [one for one in events if is_bad(one)]
            assert bad == [], process.name
        for worker in workers:
            assert worker.events("consumer_started")
            assert any(one["partitions"] for one in worker.events("partitions_assigned"))
        for teacher in teachers:
            told_by = {
                name.removesuffix("-1").removesuffix("-2")
                for name, process in deployment.processes.items()
                if any(
                    one.get("correlation_id") == teacher.correlation_id for one in process.events()
                )
            }
            assert told_by == {*ROLES, "els-worker"}


async def test_a_role_waits_for_its_broker(tmp_path: Path) -> None:
    """What it accepts meanwhile is kept, it says that it is not ready, and it ends in order."""
    with Deployment(tmp_path / "data", "127.0.0.1:1", "nobody.") as deployment:
        process = deployment.start("bos", "bos-worker")
        url = deployment.urls["bos"]
        async with httpx.AsyncClient(timeout=30) as client:

            async def reasons() -> Sequence[str]:
                try:
                    answer = await client.get(f"{url}/readyz")
                except httpx.TransportError:
                    return []
                found: Sequence[str] = answer.json().get("reasons", [])
                return found

            told = await eventually(reasons, lambda reasons: len(reasons) >= 2, STEP_SECONDS)
            registered = await client.post(
                f"{url}/v1/batches/register",
                json={
                    "expected_essay_count": 1,
                    "essay_ids": ["e1"],
                    "course_code": "ENG5",
                    "class_designation": "9A",
                    "essay_instructions": "Write.",
                },
            )
        assert process.is_running
        codes = deployment.stop()

    assert all("'127.0.0.1', 1" in reason for reason in told)
    assert registered.status_code == 202
    assert codes == {"bos+bos-worker": 0}
