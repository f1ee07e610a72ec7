"""Another implementation of the contract at the other end of the broker.

Our orchestrator and our lifecycle service run as processes; who registers, uploads, announces
readiness or checks essays is a foreign program.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import anyio
import httpx
import pytest
from aiokafka import ConsumerRecord

from huleedu.core.enums import ProcessingEvent
from huleedu.core.topics import TOPICS, dead_letter_topic
from tests.crash.submission import OVER
from tests.e2e.foreign import OLD_MOMENT, Dialect, Foreigner, Json, heard, talkative, terse
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.kafka_broker import ForeignBroker, KafkaBroker
from tests.support.kafka_topics import create_topic, delete_topics

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.parametrize("dialect", [terse, talkative]),
]
REGISTERED = ProcessingEvent.BATCH_ESSAYS_REGISTERED.value
CONTENT = ProcessingEvent.ESSAY_CONTENT_READY.value
READY = ProcessingEvent.BATCH_ESSAYS_READY.value
COMMAND = ProcessingEvent.BATCH_SPELLCHECK_INITIATE_COMMAND.value
REQUESTED = ProcessingEvent.ESSAY_SPELLCHECK_REQUESTED.value
RESULT = ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED.value
OUTCOME = ProcessingEvent.BATCH_PHASE_CONCLUDED.value
TEXTS = {"essay-1": "0" * 31 + "1", "essay-2": "0" * 31 + "2", "essay-3": "0" * 31 + "3"}
STEP_SECONDS = 90.0


class World:
    """The running roles, and what the topics are called there."""

    def __init__(self, deployment: Deployment, servers: str, prefix: str) -> None:
        self.deployment = deployment
        self.servers = servers
        self.prefix = prefix
        self.announced = f"{prefix}announced"
        """Where our ELS announces readiness: BOS does not listen there, a foreign ELS speaks."""
        self.topics = {
            event.value: deployment.environment[f"KAFKA_TOPIC_{event.name}"] for event in TOPICS
        }

    async def records(
        self, topic: str, wanted: int, batch_id: str, *, by_key: bool = True
    ) -> Sequence[ConsumerRecord]:
        """Return so many records about a batch, once they are there."""

        def means(record: ConsumerRecord) -> bool:
            about = record.key if by_key else record.value
            return batch_id.encode() in (about or b"")

        return await heard(self.servers, topic, wanted, means)

    async def batch(self, client: httpx.AsyncClient, batch_id: str) -> Mapping[str, Any]:
        """Return what BOS says of a batch that has ended."""

        async def look() -> Mapping[str, Any]:
            answer = await client.get(f"{self.deployment.urls['bos']}/v1/batches/{batch_id}")
            told: Mapping[str, Any] = answer.json()
            return told

        return await eventually(look, lambda told: told.get("status") in OVER, STEP_SECONDS)


@pytest.fixture(scope="module")
def world(
    broker: KafkaBroker | ForeignBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """BOS and ELS, both of them with API and worker; ELS announces where BOS does not listen."""
    prefix = f"t{uuid.uuid4().hex[:12]}."
    servers = broker.bootstrap_servers
    with Deployment(tmp_path_factory.mktemp("foreign") / "data", servers, prefix) as deployment:
        world = World(deployment, servers, prefix)
        anyio.run(create_topic, servers, world.announced)
        topics = deployment.start("topics")
        assert topics.wait() == 0, topics.log.read_text()
        del deployment.processes["topics"]
        deployment.start("bos", "bos-worker")
        deployment.start("els-api")
        deployment.environment["KAFKA_TOPIC_BATCH_ESSAYS_READY"] = world.announced
        deployment.start("els-worker")
        anyio.run(until_started, deployment)
        yield world
        codes = deployment.stop()
        for process in deployment.processes.values():
            assert not process.events("consumer_stopped"), process.name
        assert set(codes.values()) == {0}, codes
    if isinstance(broker, ForeignBroker):
        own = [name for topic in world.topics.values() for name in (topic, topic + ".dlq")]
        anyio.run(delete_topics, servers, [*own, world.announced])


async def until_started(deployment: Deployment) -> None:
    async def silent() -> Sequence[str]:
        started = deployment.processes.items()
        return [name for name, one in started if not one.events("role_started")]

    await eventually(silent, lambda names: not names, STEP_SECONDS)


def entity(entity_id: str, kind: str) -> Json:
    return {"entity_type": kind, "entity_id": entity_id}


async def upload(foreigner: Foreigner, batch_id: str) -> None:
    """Say, as a foreign file service, that every text is there."""
    for essay_id, text in TEXTS.items():
        stored = {"references": {"original_essay": {"storage_id": text}}}
        await foreigner.say(
            CONTENT,
            batch_id,
            batch_id=batch_id,
            essay_id=essay_id,
            entity=entity(essay_id, "essay"),
            content_storage_reference=stored,
        )


async def check(foreigner: Foreigner, batch_id: str) -> None:
    """Answer, as a foreign checker, about every essay; which batch is meant, only the key says."""
    for essay_id, text in TEXTS.items():
        stored = {"references": {"corrected_text": {"storage_id": "c" + text[1:]}}}
        await foreigner.say(
            RESULT,
            batch_id,
            entity_ref=entity(essay_id, "essay"),
            status="spellchecked_success",
            original_text_storage_id=text,
            storage_metadata=stored,
        )


def told(record: ConsumerRecord) -> Json:
    spoken: Json = json.loads(record.value)
    return spoken


async def test_a_readiness_without_references_goes_on_to_a_result(
    world: World, dialect: Dialect
) -> None:
    """BOS asks the ELS API where the texts are, commands their check, and ends the batch."""
    async with (
        httpx.AsyncClient(timeout=30) as client,
        Foreigner.speaking(world.servers, world.topics, dialect) as foreigner,
    ):
        registered = await client.post(
            f"{world.deployment.urls['bos']}/v1/batches/register",
            json={
                "expected_essay_count": len(TEXTS),
                "essay_ids": list(TEXTS),
                "course_code": "SV1",
                "class_designation": "9A",
                "essay_instructions": "Write.",
            },
        )
        assert registered.status_code == 202, registered.text
        batch_id = registered.json()["batch_id"]
        await upload(foreigner, batch_id)
        (announced,) = await world.records(world.announced, 1, batch_id)
        await foreigner.say(
            READY,
            batch_id,
            batch_id=batch_id,
            ready_essay_ids=list(TEXTS),
            total_count=len(TEXTS),
            batch_entity=entity(batch_id, "batch"),
        )
        requests = await world.records(world.topics[REQUESTED], len(TEXTS), batch_id, by_key=False)
        await check(foreigner, batch_id)
        batch = await world.batch(client, batch_id)

    assert batch["status"] == "completed_successfully"
    asked = {
        said["entity_ref"]["entity_id"]: said["text_storage_id"]
        for said in (told(one)["data"] for one in requests)
    }
    assert asked == TEXTS
    assert {told(one)["data"]["language"] for one in requests} == {"sv"}
    # A batch's correlation id is its registration's, whatever a foreign event about it carries.
    correlations = {told(one)["correlation_id"] for one in (announced, *requests)}
    assert correlations == {registered.json()["correlation_id"]}
    bos = world.deployment.processes["bos+bos-worker"]
    questions = [one for one in bos.events("references_asked_for") if one["batch_id"] == batch_id]
    assert [one["essays"] for one in questions] == [len(TEXTS)]


async def test_a_class_of_foreign_speakers_is_served(world: World, dialect: Dialect) -> None:
    """Registered, uploaded, commanded and checked by others: our ELS concludes the phase."""
    batch_id = str(uuid.uuid4())
    async with Foreigner.speaking(world.servers, world.topics, dialect) as foreigner:
        await foreigner.say(
            REGISTERED,
            batch_id,
            batch_id=batch_id,
            essay_ids=list(TEXTS),
            expected_essay_count=len(TEXTS),
        )
        await upload(foreigner, batch_id)
        (ready,) = await world.records(world.announced, 1, batch_id)
        await foreigner.say(
            COMMAND,
            batch_id,
            entity_ref=entity(batch_id, "batch"),
            essays_to_process=[
                {"essay_id": essay_id, "text_storage_id": text} for essay_id, text in TEXTS.items()
            ],
        )
        await world.records(world.topics[REQUESTED], len(TEXTS), batch_id, by_key=False)
        await check(foreigner, batch_id)
        (outcome,) = await world.records(world.topics[OUTCOME], 1, batch_id)

    assert [
        (one["essay_id"], one["text_storage_id"]) for one in told(ready)["data"]["ready_essays"]
    ] == list(TEXTS.items())
    assert told(outcome)["data"]["phase_status"] == "completed_successfully"
    assert [one["text_storage_id"][0] for one in told(outcome)["data"]["processed_essays"]] == [
        "c"
    ] * len(TEXTS)


async def test_what_breaks_the_contract_becomes_a_dead_letter(
    world: World, dialect: Dialect
) -> None:
    """A time without offset, another topic's event, no JSON, a wrong type: as it came, with why.

    Every group that heard it sets it aside; what comes behind it with the same key is handled.
    """
    batch_id = str(uuid.uuid4())
    heard_by = {REGISTERED: ("els",), CONTENT: ("els",), READY: ("bos",), RESULT: ("bos", "els")}
    async with Foreigner.speaking(world.servers, world.topics, dialect) as foreigner:
        spoiled = {event: _spoiled(foreigner.words(event)) for event in heard_by}
        for event, values in spoiled.items():
            for value in values:
                await foreigner.send(event, batch_id, value)
        dead = {
            event: await world.records(
                dead_letter_topic(world.topics[event]), len(groups) * len(spoiled[event]), batch_id
            )
            for event, groups in heard_by.items()
        }
        await foreigner.say(
            REGISTERED, batch_id, batch_id=batch_id, essay_ids=["e"], expected_essay_count=1
        )
        stored = {"references": {"original_essay": {"storage_id": "0" * 32}}}
        await foreigner.say(
            CONTENT,
            batch_id,
            batch_id=batch_id,
            essay_id="e",
            entity=entity("e", "essay"),
            content_storage_reference=stored,
        )
        await world.records(world.announced, 1, batch_id)

    for event, groups in heard_by.items():
        for group in groups:
            name = world.prefix + group
            causes = [(one, dict(one.headers)) for one in dead[event]]
            by_group = [
                one.value for one, why in causes if why["dead-letter-group"] == name.encode()
            ]
            assert by_group == spoiled[event], (event, group)
            for one, why in causes:
                assert one.key == batch_id.encode()
                assert why["dead-letter-error-class"] == b"MalformedMessage"
                assert why["dead-letter-error-message"]


def _spoiled(words: Json) -> list[bytes]:
    naive = "2026-01-12T10:00:00"
    text = json.dumps(words)
    moments = [one for one in (OLD_MOMENT, "2026-01-12T08:00:00+00:00") if one in text]
    inner = dict(words["data"])
    for metadata in ("metadata", "system_metadata"):
        if metadata in inner:
            inner[metadata] = inner[metadata] | {"timestamp": naive}
    return [
        text.replace(moments[0], naive).encode(),
        json.dumps(words | {"event_timestamp": naive}).encode(),
        json.dumps(words | {"data": inner}).encode(),
        json.dumps(words | {"event_type": "huleedu.other.v1"}).encode(),
        json.dumps(words | {"schema_version": 2}).encode(),
        json.dumps(words | {"event_id": None}).encode(),
        json.dumps(words | {"data": None}).encode(),
        text[:-1].encode(),
        b"\xff\xfe",
    ]
