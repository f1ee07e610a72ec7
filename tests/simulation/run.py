"""One run: the workload under faults, then a world that behaves, then the verdict."""

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

import tests.simulation.verdicts
import tests.simulation.what_is_shown  # noqa: F401 - its promises are judged
from tests.simulation.loop import Stuck, TooManySteps
from tests.simulation.promises import JUDGED, WATCHED, Broken, Violation, broken
from tests.simulation.stores import Templates
from tests.simulation.workload import Teacher, plans
from tests.simulation.world import Options, World

TROUBLED_SECONDS_MAX = 5.0
"""Faults stop after so many simulated seconds, or when all teachers have their answers."""
CALM_SECONDS_MAX = 60.0
"""Then everything is done within so many."""
LOOK_SECONDS = 0.2
QUIET_SECONDS = 0.6


@dataclass(frozen=True)
class Report:
    """What came of a run."""

    options: Options
    broken: Broken | None
    digest: str
    history: list[str] = field(repr=False)
    faults: Counter[str]
    steps: int
    commits: int
    checks: int
    """How often a promise was looked at."""
    seconds: float
    """Simulated."""


def simulate(options: Options, templates: Templates, *, tell: bool = False) -> Report:
    """Run one seed.  ``tell``: keep the history, also of a run in which all is well."""
    with options.build.patched():
        world = World(options, templates)
        fault: Broken | None = None
        try:
            world.loop.run(_main(world))
            fault = world.broken or judge(world)
        except Broken as error:
            fault = error
        except (Stuck, TooManySteps) as error:
            fault = broken(it_comes_to_an_end, Violation(str(error)))
        except Exception:  # noqa: BLE001 - told with the seed, as any other failure
            fault = broken(nothing_unforeseen_happens, Violation(traceback.format_exc()))
        finally:
            world.end()
    return Report(
        options=options,
        broken=fault,
        digest=world.history.digest(),
        history=world.history.lines() if fault is not None or tell else [],
        faults=Counter({kind.value: n for kind, n in world.faults.injected.items()}),
        steps=world.loop.steps,
        commits=world.log.commits,
        checks=world.log.commits * len(WATCHED) + len(JUDGED),
        seconds=world.loop.now,
    )


def it_comes_to_an_end() -> None:
    """A run ends within a bounded number of steps, and never with everybody waiting."""


def nothing_unforeseen_happens() -> None:
    """Whoever asks is answered, or told why not, in words that are foreseen."""


async def _main(world: World) -> None:
    teachers = [
        Teacher(world, plan)
        for plan in plans(world.random("workload"))
        if world.options.batches is None or plan.number in world.options.batches
    ]
    world.teachers = teachers
    world.start_all()
    async with anyio.create_task_group() as tasks:
        for teacher in teachers:
            tasks.start_soon(teacher.run)
        tasks.start_soon(world.stranger.run)
        await _until(world, TROUBLED_SECONDS_MAX, world.is_settled)
        world.calm()
        if world.lasting.away is not None:
            await _until(world, CALM_SECONDS_MAX, world.are_others_settled)
            world.lasting.come_back()
        await _until(world, CALM_SECONDS_MAX, world.is_settled)
        if world.broken is None:
            # Nothing may happen any more.
            await _until(world, QUIET_SECONDS, lambda: False)
        tasks.cancel_scope.cancel()


async def _until(world: World, seconds: float, done: Callable[[], bool]) -> None:
    end = world.loop.now + seconds
    while world.loop.now < end and world.broken is None and not done():
        with anyio.move_on_after(LOOK_SECONDS):
            await world.over.wait()


def judge(world: World) -> Broken | None:
    """Return the first promise that the whole run breaks."""
    for promise in JUDGED.values():
        try:
            promise(world)
        except Violation as fault:
            world.tell("world", f"BROKEN {promise.__name__}: {fault}")
            return broken(promise, fault)
    return None
