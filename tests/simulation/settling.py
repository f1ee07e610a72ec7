"""Whether a run has come to rest: what is still under way, and where."""

from typing import TYPE_CHECKING

from huleedu.core.message import Message
from huleedu.store.positions import read as read_position
from huleedu.transport.dead_letters import STORE_NAME

if TYPE_CHECKING:
    from tests.simulation.world import World

_MODULES = ("bos", "els", "files", "results")
_OUTBOXES = (*_MODULES, STORE_NAME)


def unsettled(world: "World") -> list[str]:
    """Return what is still under way."""
    waiting = [f"teacher {t.plan.number}" for t in world.teachers if not t.answers.is_done]
    if not world.stranger.is_done:
        waiting.append("stranger")
    down = [n for n, p in world.processes.items() if not p.is_up or p.frozen is not None]
    if waiting or down:
        return [*waiting, *down]
    unsent = [f"{rows} unsent of {s}" for s in _OUTBOXES if (rows := _unsent(world, s)) > 0]
    unhandled = world.log.unhandled(world.heard)
    return unsent or unhandled or _hidden(world) or _unread(world) or _awaited(world)


def others_unsettled(world: "World") -> list[str]:
    """Return what is still under way of those who need not wait for the group that is away."""
    away = world.lasting.away
    # Teachers get no further without the module that answers them.
    waiting = [f"teacher {t.plan.number}" for t in world.teachers if not t.answers.is_done]
    if waiting and away == "results":
        return waiting
    others = [group for group in world.heard if group != world.lasting.group]
    return world.log.unhandled(others) or _awaited(world)


def _awaited(world: "World") -> list[str]:
    """Return what ELS still waits for: a deadline to pass, results to come."""
    rows = world.reader("els").execute(
        "SELECT batch_id FROM batch WHERE registered_at IS NOT NULL AND cancelled_at IS NULL"
        " AND (CASE WHEN ready_at IS NULL THEN deadline_at IS NOT NULL"
        "      ELSE attempt > 0 AND concluded_at IS NULL END)"
    )
    return [f"{batch_id} waits" for (batch_id,) in rows]


def _hidden(world: "World") -> list[str]:
    """Return where the broker has what it does not show yet: its transaction is not over there."""
    if world.broker is None:
        return []
    hidden = world.broker.hidden(world.broker.logs)
    return [f"{partition} is shown up to {end}" for partition, end in hidden.items()]


def _unread(world: "World") -> list[str]:
    """Return what lies on the broker and was not handled by every group."""
    if world.broker is None:
        return []
    told: list[str] = []
    for name, topics in world.heard.items():
        if world.lasting.lags(name):
            continue
        group = world.broker.groups[name]
        for partition in world.broker.partitions(topics):
            store = _store_of(world, name)
            position = group.offsets.get(partition, 0)
            if store is not None:
                noted = read_position(world.reader(store), name, *partition)
                position = 0 if noted is None else noted.next_offset
            log = world.broker.logs[partition]
            if world.broker.visible(partition, position, len(log))[0]:
                told.append(f"{name} stands at {position} of {partition}")
    return told


def _store_of(world: "World", group: str) -> str | None:
    for store in _MODULES:
        if getattr(world.settings, store).consumer_group == group:
            return store
    return None


def _unsent(world: "World", store: str) -> int:
    rows = world.reader(store).execute("SELECT topic, key, value FROM outbox WHERE sent_at IS NULL")
    return sum(not _is_excused(world, Message(topic, key, value, {})) for topic, key, value in rows)


def _is_excused(world: "World", message: Message) -> bool:
    return any(world.lasting.excused(group, message) for group in world.heard)
