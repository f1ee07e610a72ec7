"""Row 6: a consumer that stops fetching without a word, and a broker that is cut off."""

from collections.abc import Sequence
from dataclasses import replace

import anyio
import httpx

from tests.faults.ground import Ground, Outcome, deployed, new_prefix, start_roles, stop_roles, tell
from tests.faults.members import Member, bus_of, publish, running, store_for
from tests.support.consumers import proceed
from tests.support.deployment import _free_ports as free_ports
from tests.support.eventually import eventually
from tests.support.kafka_broker import KafkaBroker
from tests.transport.bus import until

RED_SECONDS_MAX = 15.0
HEALED_SECONDS_MAX = 30.0
WAIT_SECONDS_MAX = 90.0
EARLY = 6


async def frozen(
    ground: Ground, groups: int, watchdog_seconds: float, cut_seconds: float
) -> Outcome:
    """Freeze so many consumers at once; cut the broker off from roles, if for any time."""
    outcomes = [await _frozen_fetchers(ground, groups, watchdog_seconds)]
    if cut_seconds:
        other = KafkaBroker(ground.directory / "kafka-2")
        await anyio.to_thread.run_sync(other.start)
        elsewhere = replace(ground, broker=other)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_cut, ground, "paused", cut_seconds, outcomes)
                tasks.start_soon(_cut, elsewhere, "killed", cut_seconds, outcomes)
        finally:
            other.kill()
    return Outcome(
        "; ".join(one.faults for one in outcomes),
        [told for one in outcomes for told in one.measured],
        [fault for one in outcomes for fault in one.broken],
    )


async def _frozen_fetchers(ground: Ground, groups: int, watchdog_seconds: float) -> Outcome:
    async with bus_of(ground) as bus:
        members = [
            Member(
                bus,
                f"frozen-{n}",
                await store_for(bus, f"frozen-{n}", n),
                watchdog_seconds=watchdog_seconds,
            )
            for n in range(groups)
        ]
        said = [proceed(bus.platform, f"b{n}") for n in range(2 * EARLY)]
        async with running(members):
            await publish(bus, said[:EARLY])
            await until(lambda: all(len(one.recorder.handled) == EARLY for one in members))
            for member in members:
                member.freeze()
            await publish(bus, said[EARLY:])
            began = anyio.current_time()
            red: list[float] = []
            healed: list[float] = []
            async with anyio.create_task_group() as tasks:
                for member in members:
                    tasks.start_soon(_watch, member, began, red, healed)
        broken = [
            f"{len(one.recorder.handled)} messages handled instead of {2 * EARLY}"
            for one in members
            if sorted(m.event_id for m in one.recorder.handled) != sorted(m.event_id for m in said)
        ]
    tell(f"frozen fetchers: red after {max(red):.1f} s, healed after {max(healed):.1f} s")
    return _judged(f"{groups} frozen fetchers", max(red), max(healed), broken)


async def _watch(member: Member, began: float, red: list[float], healed: list[float]) -> None:
    async def troubles() -> Sequence[str]:
        return member.group.troubles()

    await eventually(troubles, bool, WAIT_SECONDS_MAX)
    red.append(anyio.current_time() - began)

    async def is_well() -> bool:
        return len(member.recorder.handled) == 2 * EARLY and not member.group.troubles()

    await eventually(is_well, bool, WAIT_SECONDS_MAX)
    healed.append(anyio.current_time() - began)


async def _cut(ground: Ground, way: str, seconds: float, outcomes: list[Outcome]) -> None:
    """Take the broker away from an els-worker and a bos-worker and ask them how they are."""
    ports = free_ports(2)
    names = {
        "ESSAY_LIFECYCLE_SERVICE_PROMETHEUS_PORT": ports[0],
        "BATCH_ORCHESTRATOR_SERVICE_PROMETHEUS_PORT": ports[1],
    }
    environment = {name: str(port) for name, port in names.items()}
    async with (
        deployed(ground, f"cut-{way}", new_prefix(), **environment) as (deployment, _),
        httpx.AsyncClient(timeout=5) as client,
    ):
        await start_roles(deployment, "els-worker", "bos-worker")
        await _until_status(client, ports, 200)
        began = anyio.current_time()
        if way == "paused":
            ground.broker.pause()
        else:
            await anyio.to_thread.run_sync(ground.broker.kill)
        await _until_status(client, ports, 503)
        red = anyio.current_time() - began
        stayed = await _red_until(client, ports, began + seconds)
        if way == "paused":
            ground.broker.resume()
        else:
            await anyio.to_thread.run_sync(ground.broker.start)
        back_at = anyio.current_time()
        await _until_status(client, ports, 200)
        healed = anyio.current_time() - back_at
        broken = [] if stayed else [f"{way}: a worker said that it was ready without a broker"]
        broken += stop_roles(deployment)
    tell(f"broker {way} for {seconds:g} s: red after {red:.1f} s, healed {healed:.1f} s after")
    outcomes.append(_judged(f"broker {way} for {seconds:g} s", red, healed, broken))


async def _red_until(client: httpx.AsyncClient, ports: Sequence[int], end: float) -> bool:
    while anyio.current_time() < end:
        if 200 in await _statuses(client, ports):
            return False
        await anyio.sleep(0.5)
    return True


async def _until_status(client: httpx.AsyncClient, ports: Sequence[int], wanted: int) -> None:
    async def look() -> Sequence[int]:
        return await _statuses(client, ports)

    await eventually(look, lambda seen: set(seen) == {wanted}, WAIT_SECONDS_MAX)


async def _statuses(client: httpx.AsyncClient, ports: Sequence[int]) -> Sequence[int]:
    found = []
    for port in ports:
        try:
            found.append((await client.get(f"http://127.0.0.1:{port}/readyz")).status_code)
        except httpx.TransportError:
            found.append(0)
    return found


def _judged(what: str, red: float, healed: float, broken: list[str]) -> Outcome:
    if red > RED_SECONDS_MAX:
        broken.append(f"{what}: red only after {red:.1f} s")
    if healed > HEALED_SECONDS_MAX:
        broken.append(f"{what}: healed only after {healed:.1f} s")
    return Outcome(what, [f"{what}: red after {red:.1f} s, healed after {healed:.1f} s"], broken)
