"""Row 10: nothing that a group hears can be handled: it stops, and says so."""

from collections.abc import Sequence

import anyio
import httpx

from huleedu.core.message import Message
from huleedu.core.topics import dead_letter_topic
from huleedu.transport.breaker import WINDOW_MESSAGES
from tests.faults.ground import (
    Ground,
    Outcome,
    Told,
    deployed,
    new_prefix,
    start_program,
    stop_roles,
    tell,
)
from tests.faults.load import published
from tests.faults.log_check import read_topics, topics_of
from tests.support.deployment import _free_ports as free_ports
from tests.support.eventually import eventually


async def everything_fails(ground: Ground, messages: int, stays_seconds: float) -> Outcome:
    """Say messages without sense to a group with a store and to one without.

    After ``stays_seconds`` they must not have made more dead letters.
    """
    servers, (port,) = ground.broker.bootstrap_servers, free_ports(1)
    environment = {"ESSAY_LIFECYCLE_SERVICE_PROMETHEUS_PORT": str(port)}
    async with deployed(ground, "all-fail", new_prefix(), **environment) as (deployment, _):
        topics = topics_of(deployment)
        heard = (topics["ESSAY_CONTENT_READY"], topics["ESSAY_SPELLCHECK_REQUESTED"])
        stub = start_program(deployment, "tests.faults.stub_checker", "stub-checker")
        worker = deployment.start("els-worker")
        await Told(worker, ever=True).until("partitions_assigned")
        for topic in heard:
            await published(servers, [_senseless(topic, n) for n in range(messages)], 0.0)
        for process in (worker, stub):
            await Told(process, ever=True).until("consumer_stopped")
        reasons, metrics = await _asked(port)
        letters = [dead_letter_topic(topic) for topic in heard]
        at_once = await _count(servers, letters)
        await anyio.sleep(stays_seconds)
        later = await _count(servers, letters)
        alive = worker.is_running and stub.is_running
        broken = stop_roles(deployment)
    broken += [] if alive else ["a process ended"]
    if later != at_once:
        broken.append(f"dead letters went on: {at_once}, then {later}")
    if not all(0 < number <= WINDOW_MESSAGES for number in later):
        broken.append(f"{later} dead letters, in a window of {WINDOW_MESSAGES} messages")
    if not any("stopped" in reason for reason in reasons):
        broken.append(f"/readyz does not tell it: {reasons}")
    if not any(line.startswith("huleedu_transport_consumers_stopped{") for line in metrics):
        broken.append("no metric tells it")
    tell(f"dead letters {later}; /readyz: {'; '.join(reasons)[:200]}")
    return Outcome(
        f"{messages} messages without sense to els-worker and to a spell-checking worker",
        [f"{' and '.join(map(str, later))} dead letters, then stopped, red and counted"],
        broken,
    )


def _senseless(topic: str, number: int) -> Message:
    return Message(topic, f"k{number}".encode(), b"{}", {"event-id": f"senseless-{number}"})


async def _asked(port: int) -> tuple[Sequence[str], Sequence[str]]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:

        async def reasons() -> Sequence[str]:
            found: Sequence[str] = (await client.get("/readyz")).json().get("reasons", [])
            return found

        told = await eventually(reasons, bool)
        metrics = (await client.get("/metrics")).text.splitlines()
    return told, [line for line in metrics if line.endswith(" 1.0")]


async def _count(servers: str, topics: Sequence[str]) -> list[int]:
    seen = await read_topics(servers, topics)
    return [len(seen[topic]) for topic in topics]
