"""Row 4: els-workers that join and leave every two seconds while essays flow."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from tests.faults.els_replicas import els_replicas
from tests.faults.ground import Ground, Outcome, Told, tell
from tests.support.deployment import RoleProcess

EVERY_SECONDS = 2.0
DRAIN_SECONDS_MAX = 30.0
REDELIVERED_MAX = 0.005


@dataclass
class Round:
    """What came of one round."""

    messages: int
    redelivered: int
    drain_seconds: float
    broken: list[str]


async def rebalances(ground: Ground, loops: int, batch_counts: Sequence[int]) -> Outcome:
    """Run a round of joins and leaves over so many batches each; in every second one the members
    are static."""
    done: list[Round] = []
    for number, batch_count in enumerate(batch_counts):
        static = number % 2 == 1
        one = await _round(ground, f"rebalances-{number}", loops, batch_count, static=static)
        done.append(one)
        tell(
            f"round {number + 1}/{len(batch_counts)} ({'static' if static else 'dynamic'}): "
            f"{one.messages:,} messages, {one.redelivered} redelivered, drained "
            f"{one.drain_seconds:.1f} s after the last rebalance, {len(one.broken)} broken"
        )
    messages = sum(one.messages for one in done)
    redelivered = sum(one.redelivered for one in done)
    broken = [f"round {n}: {fault}" for n, one in enumerate(done, 1) for fault in one.broken]
    if redelivered > REDELIVERED_MAX * messages:
        broken.append(f"{redelivered / messages:.2%} of the messages were redelivered")
    return Outcome(
        f"{len(done)} × {loops} joins and leaves of 3 els-workers, every 2 s",
        [
            f"{' + '.join(f'{one * 30:,}' for one in batch_counts)} essays",
            f"{redelivered} of {messages:,} messages redelivered ({redelivered / messages:.2%})",
            f"drained {max(one.drain_seconds for one in done):.1f} s after the last rebalance",
        ],
        broken,
    )


async def _round(ground: Ground, name: str, loops: int, batch_count: int, *, static: bool) -> Round:
    membership = {"KAFKA_STATIC_MEMBERSHIP": str(static).lower()}
    async with els_replicas(ground, name, batch_count, **membership) as els:
        await els.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(els.publish, loops * EVERY_SECONDS)
            broken = await _join_and_leave(els.processes, loops)
            last_at = anyio.current_time()
        await els.drained()
        drain_seconds = anyio.current_time() - last_at
        if drain_seconds > DRAIN_SECONDS_MAX:
            broken.append(f"drained only {drain_seconds:.1f} s after the last rebalance")
        broken += await els.stopped()
        return Round(len(els.messages), els.redelivered(), drain_seconds, broken)


async def _join_and_leave(replicas: Sequence[RoleProcess], loops: int) -> list[str]:
    """Every two seconds one leaves in order and the one that left before joins again."""
    broken: list[str] = []
    told = {replica.name: Told(replica, ever=True) for replica in replicas}
    began, away = anyio.current_time(), replicas[-1]
    away.signal(signal.SIGTERM)
    for loop in range(loops):
        await anyio.sleep_until(began + (loop + 1) * EVERY_SECONDS)
        leaving = replicas[loop % len(replicas)]
        if loop < loops - 1:
            # Who is still starting does not listen for the signal yet.
            await told[leaving.name].until("role_started")
            leaving.signal(signal.SIGTERM)
        code = await anyio.to_thread.run_sync(away.wait)
        broken += [f"{away.name} ended with {code}"] if code else []
        told[away.name] = Told(away)
        away.start()
        away = leaving
    for one in told.values():
        await one.until("role_started")
    return broken
