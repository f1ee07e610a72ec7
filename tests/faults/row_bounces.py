"""Row 2: the broker and each worker are ended again and again while batches run their course.

Volume goes through the real BOS and ELS: batches are registered at BOS, their texts come as the
file module says them, and a checker that corrects nothing answers.  Files and the spell-checking
worker are hit under whole submissions: real files, real texts, real checks.
"""

import signal
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import anyio

from tests.crash.submission import Submission
from tests.crash.verdict import store_faults
from tests.faults.ground import (
    Ground,
    Outcome,
    Told,
    bounce,
    bounce_broker,
    count,
    deployed,
    new_prefix,
    start_program,
    start_roles,
    stop_roles,
    tell,
    until_count,
)
from tests.faults.load import ESSAYS, contents, published, registered
from tests.faults.log_check import log_faults, topics_of
from tests.support.deployment import Deployment
from tests.support.eventually import eventually

HOW = (signal.SIGKILL, signal.SIGTERM)
VOLUME_TARGETS = ("broker", "els-worker", "bos-worker")
WHOLE_TARGETS = ("files", "spellcheck-worker")
THREE_TIMES = (0.2, 0.4, 0.6)
"""After which shares of its batches a case has its bounces."""
CASE_SECONDS_MAX = 240.0
COMPLETED = "SELECT count(*) FROM batch WHERE status = 'completed_successfully'"
CLIENTS = 6
TEXT = "The pupils wrote about there summer. It was definately warm, and everyone likd to swimm. "


class Wanted(NamedTuple):
    """One target, one signal, one order in which essays come."""

    target: str
    how: signal.Signals
    ordered: bool


MATRIX = [Wanted(*one) for one in product((*VOLUME_TARGETS, *WHOLE_TARGETS), HOW, (True, False))]


class Case:
    """One of them at work."""

    def __init__(
        self, ground: Ground, deployment: Deployment, data: Path, target: str, how: signal.Signals
    ) -> None:
        self._ground = ground
        self._deployment = deployment
        self._data = data
        self._target = target
        self._how = how
        self._before = self.completed()
        self.broken: list[str] = []

    def completed(self) -> int:
        """Return how many batches BOS has completed, this case's and those before."""
        return count(self._data / "bos.db", COMPLETED)

    async def run(self, wanted: int, bounce_at: Sequence[float]) -> None:
        """Bounce the target as the batches advance, and return when all are completed."""
        began = anyio.current_time()
        for share in bounce_at:
            await self._reached(max(1, int(share * wanted)))
            if self._target == "broker":
                await bounce_broker(self._ground.broker, self._how)
            else:
                process = self._deployment.processes[self._target]
                self.broken += await bounce(process, self._how)
        await self._reached(wanted)
        tell(
            f"{self._how.name} of {self._target}: {wanted} batches in "
            f"{anyio.current_time() - began:.0f} s, {len(self.broken)} broken"
        )

    async def _reached(self, wanted: int) -> None:
        await until_count(self.completed, self._before + wanted, CASE_SECONDS_MAX)


async def bounces(
    ground: Ground,
    cases: Sequence[Wanted],
    bounce_at: Sequence[float],
    batches: int,
    seconds: float,
    classes: int,
    essays: int,
) -> Outcome:
    """Run cases one after another, with bounces after these shares of the batches.

    A case has ``batches`` batches of 30 essays that come within ``seconds``, or, where files or
    the spell-checking worker are hit, ``classes`` classes of ``essays`` files.
    """
    volume = [one for one in cases if one.target in VOLUME_TARGETS]
    whole = [one for one in cases if one.target in WHOLE_TARGETS]
    broken = await _volume(ground, volume, bounce_at, batches, seconds) if volume else []
    broken += await _whole(ground, whole, bounce_at, classes, essays) if whole else []
    done = len(volume) * batches * ESSAYS + len(whole) * classes * essays
    return Outcome(
        f"{len(cases)} cases × {len(bounce_at)} bounces",
        [f"{done:,} essays; lost, said or done twice, out of order: {len(broken)}"],
        broken,
    )


async def _volume(
    ground: Ground,
    cases: Sequence[Wanted],
    bounce_at: Sequence[float],
    batches: int,
    seconds: float,
) -> list[str]:
    servers, broken, ids = ground.broker.bootstrap_servers, [], []
    async with deployed(ground, "volume", new_prefix(), KAFKA_STATIC_MEMBERSHIP="true") as (
        deployment,
        data,
    ):
        stub = start_program(deployment, "tests.faults.stub_checker", "stub-checker")
        await start_roles(deployment, "bos", "bos-worker", "els-worker")
        await Told(stub, ever=True).until("role_started")
        for target, how, ordered in cases:
            case = Case(ground, deployment, data, target, how)
            batch_ids = await registered(deployment, batches)
            topic = topics_of(deployment)["ESSAY_CONTENT_READY"]
            texts = contents(batch_ids, topic, ground.chance, ordered=ordered)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(published, servers, texts, seconds)
                await case.run(len(batch_ids), bounce_at)
            ids += batch_ids
            broken += case.broken
        await _until_quiet(data, ["bos", "els"])
        broken += stop_roles(deployment)
        broken += await log_faults(servers, deployment, data, ["bos", "els"], ids)
    return broken


async def _whole(
    ground: Ground,
    cases: Sequence[Wanted],
    bounce_at: Sequence[float],
    classes: int,
    essays: int,
) -> list[str]:
    servers, broken = ground.broker.bootstrap_servers, []
    sizes: dict[str, int] = {}
    folder = _class_folder(ground.directory / "class", essays)
    async with deployed(ground, "whole", new_prefix(), KAFKA_STATIC_MEMBERSHIP="true") as (
        deployment,
        data,
    ):
        roles = ("bos", "bos-worker", "els-api", "els-worker", "files", "content")
        await start_roles(deployment, *roles, "spellcheck-worker", "results")
        for number, (target, how, ordered) in enumerate(cases):
            case = Case(ground, deployment, data, target, how)
            handed_in = [
                Submission(deployment.urls.__getitem__, "ENG5", folder, f"{number}-{one}")
                for one in range(classes)
            ]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_hand_in, handed_in, 1 if ordered else CLIENTS)
                await case.run(len(handed_in), bounce_at)
            broken += [*case.broken, *(one.error for one in handed_in if one.error)]
            sizes |= {str(one.batch_id): essays for one in handed_in}
        await _until_told(data, sizes)
        broken += stop_roles(deployment)
        broken += store_faults(data, sizes)
        modules = ["bos", "els", "files", "results"]
        broken += await log_faults(servers, deployment, data, modules, list(sizes))
    return broken


async def _hand_in(submissions: Sequence[Submission], at_once: int) -> None:
    places = anyio.CapacityLimiter(at_once)

    async def one(submission: Submission) -> None:
        submission.patience = float("inf")
        async with places:
            await anyio.to_thread.run_sync(submission.run)

    async with anyio.create_task_group() as tasks:
        for submission in submissions:
            tasks.start_soon(one, submission)


def _class_folder(folder: Path, essays: int) -> Path:
    folder.mkdir()
    for number in range(essays):
        (folder / f"{number:03}.txt").write_text(f"Essay {number}. {TEXT * (1 + number % 5)}")
    return folder


async def _until_quiet(data: Path, modules: Sequence[str]) -> None:
    query = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
    await until_count(lambda: -sum(count(data / f"{m}.db", query) for m in modules), 0, 60)


async def _until_told(data: Path, sizes: dict[str, int]) -> None:
    """Return when the results module has heard all; what is missing then is found afterwards."""

    async def look() -> Sequence[str]:
        return store_faults(data, sizes)

    with anyio.move_on_after(60):
        await eventually(look, lambda missing: not missing, 120)
