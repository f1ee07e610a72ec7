"""Row 4, further: an els-worker that holds partitions sleeps until others have taken over."""

import signal
from typing import Any

import anyio

from tests.faults.els_replicas import REPLICAS, ElsReplicas, els_replicas
from tests.faults.ground import Ground, Outcome, Told, tell
from tests.support.deployment import RoleProcess
from tests.support.eventually import eventually

TAKEN_OVER_SECONDS_MAX = 30.0
BACK_SECONDS_MAX = 60.0


async def zombies(ground: Ground, naps: int, batch_count: int, session_seconds: float) -> Outcome:
    """Freeze one replica after another while texts flow, and wake each when it is superseded."""
    taken_over = 0
    session = {"KAFKA_SESSION_TIMEOUT_SECONDS": f"{session_seconds:g}"}
    async with els_replicas(ground, "zombies", batch_count, **session) as els:
        await els.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(els.publish, naps * (session_seconds + 4))
            for nap in range(naps):
                taken_over += await _nap(ground, els, els.processes[nap % REPLICAS])
        drain_seconds = await els.drained()
        broken = await els.stopped()
        superseded = els.redelivered()
    if not taken_over:
        broken.append("nobody ever took over")
    return Outcome(
        f"{naps} els-workers frozen, {taken_over} of them until others had taken over",
        [
            f"{batch_count * 30:,} essays",
            f"{superseded} messages handled in vain by those who woke up, no effect twice",
            f"drained {drain_seconds:.1f} s after the last",
        ],
        broken,
    )


async def _nap(ground: Ground, els: ElsReplicas, sleeper: RoleProcess) -> bool:
    """Freeze one; return whether others took over before it was woken."""
    everything = _held(els.processes)
    await anyio.sleep(ground.chance.uniform(0, 1))
    before, told = _assignments(els, sleeper), Told(sleeper)
    sleeper.signal(signal.SIGSTOP)
    others = [one for one in els.processes if one is not sleeper]

    async def have_all() -> bool:
        return _assignments(els, sleeper) > before and _held(others) == everything

    began = anyio.current_time()
    try:
        await eventually(have_all, bool, TAKEN_OVER_SECONDS_MAX)
    except AssertionError:
        # It was stopped in the midst of a write: then nobody can write until it wakes up.
        taken_over = False
    else:
        taken_over = True
        await anyio.sleep(ground.chance.uniform(0, 2))
    slept = anyio.current_time() - began
    sleeper.signal(signal.SIGCONT)
    await told.until("partitions_assigned", BACK_SECONDS_MAX)

    async def shared() -> bool:
        return _held(els.processes) == everything and bool(_held([sleeper]))

    await eventually(shared, bool, BACK_SECONDS_MAX)
    tell(f"{sleeper.name} slept {slept:.1f} s; taken over: {taken_over}")
    return taken_over


def _assignments(els: ElsReplicas, sleeper: RoleProcess) -> int:
    return sum(len(one.events("partitions_assigned")) for one in els.processes if one != sleeper)


def _held(processes: Any) -> set[str]:
    """Return the partitions that these were last given."""
    return {
        partition
        for process in processes
        for partition in process.events("partitions_assigned")[-1]["partitions"]
    }
