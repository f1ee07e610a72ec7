"""What teachers do in a run: batches, uploads in any order, repeats, other texts, lost essays."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio

from huleedu.bos.acting import ActionRefused
from huleedu.bos.actions import Action, Cancel, Extend, Proceed, Retry
from huleedu.bos.api_models import BatchRegistrationRequestV1
from huleedu.bos.idempotency import KeyedRequest, keyed_request
from huleedu.core.enums import ProcessingEvent
from huleedu.core.errors import NotFound, Unavailable
from huleedu.core.message import Header, Message
from huleedu.core.topics import topic_name
from huleedu.files.model import FileReceipt, IncomingFile
from tests.simulation.process import ConnectionLost
from tests.simulation.surroundings import MISSPELT, MOODY, SLOW, UNCHECKABLE

if TYPE_CHECKING:
    from tests.simulation.world import World

BATCHES = (1, 1, 2, 2, 3)
ESSAYS = (1, 2, 2, 3, 4)
CROWDED = 0.06
"""Part of the runs with a whole school: more batches, some of them large."""
BATCHES_OF_A_CROWD = (5, 6, 8)
ESSAYS_OF_A_CROWD = (1, 1, 2, 4, 8, 12)
PAUSE_SECONDS = 0.7
ASK_AGAIN_SECONDS = 0.3
POISON = 0.25
"""In which part of the runs there is a stranger."""
POISONED = (
    ProcessingEvent.ESSAY_CONTENT_READY,
    ProcessingEvent.BATCH_ESSAYS_REGISTERED,
    ProcessingEvent.ESSAY_SPELLCHECK_RESULT_RECEIVED,
)
INCOMPLETE = 0.2
"""Part of the batches that lack an essay for ever."""
WISH_SECONDS_MAX = 2.0
RETRIES_MAX = 8
REGRETTED = 0.25
"""Part of the retries after which the teacher cancels the batch at once."""


@dataclass(frozen=True)
class PlannedFile:
    """One file of an upload."""

    essay_id: str
    text: str
    by_name: bool
    """Whether the file's name says whose it is, or a part of the form beside it."""


@dataclass(frozen=True)
class Upload:
    """Some files, sent at this time after the registration."""

    after_seconds: float
    files: tuple[PlannedFile, ...]


class Wish(StrEnum):
    """What a teacher may do with a batch besides uploading."""

    EXTEND = "extend"
    PROCEED = "proceed"
    CANCEL = "cancel"
    RETRY = "retry"


WISHES = {Wish.EXTEND: 0.08, Wish.PROCEED: 0.06, Wish.CANCEL: 0.08, Wish.RETRY: 0.25}
"""Action → in which part of the batches it is tried."""
WISHES_OF_INCOMPLETE = {Wish.EXTEND: 0.3, Wish.PROCEED: 0.3, Wish.CANCEL: 0.1, Wish.RETRY: 0.2}


@dataclass(frozen=True)
class PlannedWish:
    """An action, so long after the registration; a retry is tried until the batch has ended."""

    after_seconds: float
    wish: Wish
    seconds: float = 0.0
    """Of an extension: how long from then on."""
    is_regretted: bool = False
    """Of a retry: the batch is cancelled as soon as it is accepted."""


@dataclass(frozen=True)
class Plan:
    """What is going to happen to one batch."""

    number: int
    essay_ids: tuple[str, ...]
    begins_at: float
    by_bos: bool
    """Whether BOS says itself that the texts are ready, together with the registration."""
    uploads: tuple[Upload, ...]
    missing: frozenset[str]
    """Essays for which no text ever comes."""
    readiness_seconds: float | None
    wishes: tuple[PlannedWish, ...]


@dataclass
class Answers:
    """What a teacher was told; all of it must be true for ever."""

    batch_id: str | None = None
    correlation_id: str | None = None
    receipts: list[FileReceipt] = field(default_factory=list)
    granted: list[Wish] = field(default_factory=list)
    """Actions that were answered with 202."""
    is_done: bool = False


class Stranger:
    """Somebody outside of the program who says one thing that nobody can read."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._random = world.random("stranger")
        self.speaks = self._random.random() < POISON
        self.is_done = not self.speaks

    async def run(self) -> None:
        """Say it, again and again until it was taken."""
        if not self.speaks:
            return
        await anyio.sleep(self._random.random() * PAUSE_SECONDS * 2)
        topic = topic_name(self._random.choice(POISONED))
        event_id = str(UUID(int=self._random.getrandbits(128), version=4))
        message = Message(topic, b"nobody's", b"{not json", {Header.EVENT_ID: event_id})
        while not self.is_done:
            try:
                await self._world.send_poison(message)
                self.is_done = True
            except (ConnectionLost, Unavailable):
                await anyio.sleep(ASK_AGAIN_SECONDS)


def plans(random: Random) -> list[Plan]:
    """Return the workload of a seed."""
    is_crowded = random.random() < CROWDED
    batches = BATCHES_OF_A_CROWD if is_crowded else BATCHES
    essays = ESSAYS_OF_A_CROWD if is_crowded else ESSAYS
    return [_plan(n, random.choice(essays), random) for n in range(random.choice(batches))]


def _plan(number: int, count: int, random: Random) -> Plan:
    essay_ids = tuple(f"essay-{n + 1}" for n in range(count))  # the same in every batch
    by_bos = random.random() < 0.15
    missing = (
        frozenset(random.sample(essay_ids, 1)) if random.random() < INCOMPLETE else frozenset()
    )
    files = [_file(essay_id, number, random) for essay_id in essay_ids if essay_id not in missing]
    if random.random() < 0.3 and files:
        files.append(random.choice(files))  # a repeat
    if random.random() < 0.4 and files:
        files.append(_file(random.choice(files).essay_id, number, random))  # another text
    random.shuffle(files)
    uploads = []
    while files:
        size = random.randint(1, len(files))
        together, files = files[:size], files[size:]
        uploads.append(Upload(random.random() * PAUSE_SECONDS, tuple(together)))
    begins_at = random.random() * PAUSE_SECONDS
    readiness_seconds = 1.0 + 2 * random.random() if random.random() < 0.3 else None
    wishes = _wishes(bool(missing), random)
    return Plan(
        number, essay_ids, begins_at, by_bos, tuple(uploads), missing, readiness_seconds, wishes
    )


def _wishes(is_incomplete: bool, random: Random) -> tuple[PlannedWish, ...]:
    odds = WISHES_OF_INCOMPLETE if is_incomplete else WISHES
    return tuple(_planned(wish, random) for wish, part in odds.items() if random.random() < part)


def _planned(wish: Wish, random: Random) -> PlannedWish:
    after_seconds, chance = random.random() * WISH_SECONDS_MAX, random.random()
    is_regretted = wish is Wish.RETRY and chance < REGRETTED
    return PlannedWish(after_seconds, wish, 1.0 + 2 * chance, is_regretted)


def _file(essay_id: str, batch: int, random: Random) -> PlannedFile:
    text = f"Batch {batch}, {essay_id}, {random.randrange(10**6)}."
    if random.random() < 0.3:
        text += f" It has {MISSPELT} word."
    if random.random() < 0.15:
        text += f" It is {UNCHECKABLE}."
    if random.random() < 0.1:
        text += f" It is {MOODY}."
    if random.random() < 0.1:
        text += f" It is {SLOW}."
    return PlannedFile(essay_id, text, random.random() < 0.5)


class Teacher:
    """Carries out a plan, and asks again until there is an answer."""

    def __init__(self, world: "World", plan: Plan) -> None:
        self._world = world
        self.plan = plan
        self.answers = Answers()
        self._name = f"teacher {plan.number}"
        self._random = world.random(f"teacher {plan.number}")

    async def run(self) -> None:
        """Register and upload; ends when everything is answered."""
        await anyio.sleep(self.plan.begins_at)
        await self._register()
        async with anyio.create_task_group() as tasks:
            for upload in () if self.plan.by_bos else self.plan.uploads:
                tasks.start_soon(self._upload, upload)
            for wish in self.plan.wishes:
                tasks.start_soon(self._act, wish)
        self.answers.is_done = True

    async def _register(self) -> None:
        plan = self.plan
        body: dict[str, object] = {
            "expected_essay_count": len(plan.essay_ids),
            "essay_ids": list(plan.essay_ids),
            "course_code": "ENG5",
            "class_designation": f"class {plan.number}",
            "essay_instructions": "Write.",
        }
        if plan.readiness_seconds is not None:
            body["readiness_timeout_seconds"] = plan.readiness_seconds
        registration = BatchRegistrationRequestV1(**body)  # type: ignore[arg-type]
        keyed = keyed_request("register_batch", f"key-{plan.number}", body)
        correlation_id = UUID(int=self._random.getrandbits(128), version=4)
        texts = {}
        if plan.by_bos:
            wanted = {f.essay_id: f.text for upload in plan.uploads for f in upload.files}
            for essay_id, text in wanted.items():
                stored = await self._until_answered("content", _put(text))
                texts[essay_id] = stored
        answer = await self._until_answered(
            "bos", lambda bos: bos.register(registration, correlation_id, keyed, texts)
        )
        told = json.loads(answer.body)
        self.answers.batch_id = told["batch_id"]
        self.answers.correlation_id = told["correlation_id"]
        self._tell(f"batch {plan.number} is {told['batch_id']} ({len(plan.essay_ids)} essays)")

    async def _upload(self, upload: Upload) -> None:
        await anyio.sleep(upload.after_seconds)
        batch_id = self.answers.batch_id
        assert batch_id is not None
        files = [_incoming(file) for file in upload.files]
        request_id = UUID(int=self._random.getrandbits(128), version=4)
        receipt = await self._until_answered(
            "files", lambda intake: intake.take(batch_id, files, request_id)
        )
        self.answers.receipts += receipt.files
        told = " ".join(f"{one.essay_id}:{one.outcome.value}" for one in receipt.files)
        self._tell(f"uploaded to {batch_id[:8]}: {told}")

    async def _act(self, planned: PlannedWish) -> None:
        await anyio.sleep(planned.after_seconds)
        for attempt in range(RETRIES_MAX if planned.wish is Wish.RETRY else 1):
            if await self._is_granted(planned.wish, self._action(planned), str(attempt)):
                if planned.is_regretted:
                    await self._is_granted(Wish.CANCEL, Cancel(reason="regretted"), "regret")
                return
            await anyio.sleep(ASK_AGAIN_SECONDS)

    async def _is_granted(self, wish: Wish, action: Action, which: str) -> bool:
        batch_id = self.answers.batch_id
        assert batch_id is not None
        keyed = keyed_request(f"{wish.value}/{batch_id}", f"{wish.value}-{which}", {})
        try:
            await self._until_answered("bos", partial(_wished, batch_id, action, keyed))
        except ActionRefused as refused:
            self._tell(f"{wish.value} of {batch_id[:8]} is refused: {refused}")
            return False
        self._tell(f"{wish.value} of {batch_id[:8]} is accepted")
        self.answers.granted.append(wish)
        return True

    def _action(self, planned: PlannedWish) -> Action:
        match planned.wish:
            case Wish.EXTEND:
                return Extend(self._world.clock.now() + timedelta(seconds=planned.seconds))
            case Wish.PROCEED:
                return Proceed()
            case Wish.CANCEL:
                return Cancel(reason="not needed")
            case Wish.RETRY:
                return Retry()

    async def _until_answered(
        self, module: str, ask: Callable[[Any], Coroutine[Any, Any, Any]]
    ) -> Any:
        while True:
            try:
                return await self._world.ask(module, ask)
            except (ConnectionLost, Unavailable, NotFound) as fault:
                self._tell(f"{module} did not answer: {type(fault).__name__}")
            await anyio.sleep(ASK_AGAIN_SECONDS * (0.5 + self._random.random()))

    def _tell(self, what: str) -> None:
        self._world.tell(self._name, what)


def _wished(
    batch_id: str, action: Action, keyed: KeyedRequest | None, bos: Any
) -> Coroutine[Any, Any, Any]:
    assert keyed is not None
    done: Coroutine[Any, Any, Any] = bos.act(batch_id, action, keyed)
    return done


def _put(text: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    return lambda content: content.put(text.encode())


def _incoming(file: PlannedFile) -> IncomingFile:
    async def content() -> bytes:
        await asyncio.sleep(0)
        return file.text.encode()

    name = f"{file.essay_id}.txt" if file.by_name else "text.txt"
    return IncomingFile(name, None if file.by_name else file.essay_id, content)
