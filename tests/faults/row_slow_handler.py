"""Row 5: a handler that takes longer than a member of a group may be silent."""

from functools import partial

import anyio

from huleedu.transport.protocol import Delivery
from tests.faults.ground import Ground, Outcome, tell
from tests.faults.members import Member, bus_of, publish, running, store_for
from tests.support.consumers import PROCEED, proceed
from tests.support.eventually import eventually
from tests.transport.bus import until

SETTLE_SECONDS_MAX = 120.0


async def slow_handlers(
    ground: Ground, groups: int, messages_each: int, max_poll_seconds: float
) -> Outcome:
    """Have so many groups of two members handle so many messages, each for too long."""
    takes = 1.2 * max_poll_seconds
    async with bus_of(ground) as bus:

        async def slow(_: Delivery) -> None:
            await anyio.sleep(takes)

        pairs: list[list[Member]] = []
        for number in range(groups):
            store = await store_for(bus, f"slow-{number}", number)
            pairs.append(
                [
                    Member(bus, f"slow-{number}", store, slow, max_poll_seconds=max_poll_seconds)
                    for _ in range(2)
                ]
            )
        members = [member for pair in pairs for member in pair]

        def assigned() -> list[dict[object, int]]:
            return [dict(member.membership.assigned) for member in members]

        async with running(members):
            await until(
                lambda: all(
                    sorted(len(one.membership.assigned) for one in pair) == [1, 2] for pair in pairs
                )
            )
            before = assigned()
            for count in range(1, messages_each + 1):
                await publish(bus, [proceed(bus.platform, "b")])
                await _all_begun(pairs, count)
            committed = [partial(bus._committed, f"slow-{n}", PROCEED) for n in range(groups)]
            for one in committed:
                await eventually(one, lambda at: messages_each in at.values(), SETTLE_SECONDS_MAX)
            rebalanced = sum(a != b for a, b in zip(before, assigned(), strict=True))
        broken = []
        for number, pair in enumerate(pairs):
            begun = sum(len(one.recorder.deliveries) for one in pair)
            done = len({m.event_id for one in pair for m in one.recorder.handled})
            if (begun, done) != (messages_each, messages_each):
                broken.append(f"group {number}: begun {begun} times, {done} done")
        if rebalanced:
            broken.append(f"{rebalanced} members had their partitions changed")
    tell(f"{groups * messages_each} slow messages, {len(broken)} broken")
    return Outcome(
        f"{groups * messages_each} messages that take {takes:g} s where {max_poll_seconds:g} s "
        "are allowed",
        [f"each begun once and committed; members rebalanced meanwhile: {rebalanced}"],
        broken,
    )


async def _all_begun(pairs: list[list[Member]], count: int) -> None:
    async def least() -> int:
        return min(sum(len(one.recorder.deliveries) for one in pair) for pair in pairs)

    await eventually(least, lambda seen: seen >= count, SETTLE_SECONDS_MAX)
