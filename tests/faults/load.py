"""Essays on their way: events as the file module says them, handed to a broker at a pace."""

import hashlib
import random
from collections.abc import Sequence

import anyio
import httpx

from huleedu.core.errors import BrokerUnavailable
from huleedu.core.message import Message
from huleedu.core.platform import Platform
from huleedu.transport.kafka.connection import KafkaConnection
from huleedu.transport.kafka.producer import IdempotentPublisher
from tests.support.builders import content_ready
from tests.support.deployment import Deployment

ESSAYS = 30
CLIENTS = 8
CHUNK = 50
REPEATED = 0.02
REGISTER_SECONDS_MAX = 60.0


def renamed(message: Message, topic: str) -> Message:
    """Return the message as it is said where its topic has another name."""
    named = f'"event_type":"{message.topic}"'.encode()
    value = message.value.replace(named, f'"event_type":"{topic}"'.encode(), 1)
    return Message(topic, message.key, value, message.headers)


async def registered(deployment: Deployment, batches: int) -> list[str]:
    """Register so many batches of 30 essays at BOS; return their ids."""
    ids: list[str] = []

    async def register(numbers: Sequence[int], client: httpx.AsyncClient) -> None:
        for number in numbers:
            ids.append(await _registered(deployment, client, f"{len(ids)}-{number}"))

    async with httpx.AsyncClient(timeout=30) as client, anyio.create_task_group() as tasks:
        for first in range(CLIENTS):
            tasks.start_soon(register, range(first, batches, CLIENTS), client)
    return ids


async def _registered(deployment: Deployment, client: httpx.AsyncClient, name: str) -> str:
    body = {
        "expected_essay_count": ESSAYS,
        "essay_ids": [f"e{n:02}" for n in range(ESSAYS)],
        "course_code": "ENG5",
        "class_designation": name,
        "essay_instructions": "Write.",
    }
    url = f"{deployment.urls['bos']}/v1/batches/register"
    with anyio.fail_after(REGISTER_SECONDS_MAX):
        while True:
            try:
                answer = await client.post(url, json=body)
            except httpx.TransportError:
                await anyio.sleep(0.05)
                continue
            assert answer.status_code == 202, answer.text
            return str(answer.json()["batch_id"])


def contents(
    batch_ids: Sequence[str], topic: str, chance: random.Random, *, ordered: bool
) -> list[Message]:
    """Return the texts of these batches, batch after batch and essay after essay.

    Not ordered: those of a fifth of the batches are mixed, and 2 % come again somewhat later.
    """
    mixed = 0.0 if ordered else max(2.0, len(batch_ids) / 5)
    ranked: list[tuple[float, Message]] = []
    for index, batch_id in enumerate(batch_ids):
        for number in range(ESSAYS):
            essay_id = f"e{number:02}"
            storage_id = hashlib.md5(f"{batch_id}{essay_id}".encode()).hexdigest()
            message = renamed(content_ready(batch_id, essay_id, storage_id), topic)
            rank = index + chance.random() * mixed
            ranked.append((rank, message))
            if not ordered and chance.random() < REPEATED:
                ranked.append((rank + chance.random() * mixed, message))
    if not ordered:
        ranked.sort(key=lambda one: one[0])
    return [message for _, message in ranked]


async def published(bootstrap_servers: str, messages: Sequence[Message], seconds: float) -> None:
    """Hand the messages to the broker, spread over about so many seconds.

    What a broker that goes away does not acknowledge is sent again, as every sender of ours does.
    """
    publisher = IdempotentPublisher(KafkaConnection(bootstrap_servers), Platform())
    began = anyio.current_time()
    try:
        for first in range(0, len(messages), CHUNK):
            await anyio.sleep_until(began + seconds * first / len(messages))
            await _until_acknowledged(publisher, messages[first : first + CHUNK])
    finally:
        with anyio.CancelScope(shield=True):
            await publisher.close()


async def _until_acknowledged(publisher: IdempotentPublisher, messages: Sequence[Message]) -> None:
    while True:
        try:
            await publisher.publish(messages)
        except BrokerUnavailable:
            await anyio.sleep(0.1)
        else:
            return
