"""What each module brings: its store, its routes, what it hears, does by itself and forgets."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from litestar.handlers import HTTPRouteHandler

from huleedu import bos, content, els, files, results
from huleedu.app.ground import Ground
from huleedu.core.roles import Role
from huleedu.spellcheck import handlers as spellcheck_handlers
from huleedu.store.housekeeping import Chore, chores_of
from huleedu.store.migrations import Migrations
from huleedu.transport.dead_letters import STORE_NAME
from huleedu.transport.protocol import Subscription

KEEP_ANSWERS = timedelta(days=30)
"""How long a registration may be repeated with its Idempotency-Key."""

Routes = Callable[[Ground], Awaitable[Sequence[HTTPRouteHandler]]]
Subscriptions = Callable[[Ground], Awaitable[Sequence[Subscription]]]
Run = Callable[[], Awaitable[object]]
"""What goes on for as long as the process does."""
Tasks = Callable[[Ground], Mapping[str, Run]]
"""Name → what a module does by itself, beside what it hears."""


async def _no_routes(_ground: Ground) -> Sequence[HTTPRouteHandler]:
    return ()


async def _no_subscriptions(_ground: Ground) -> Sequence[Subscription]:
    return ()


def _no_tasks(_ground: Ground) -> Mapping[str, Run]:
    return {}


@dataclass(frozen=True)
class Module:
    """One module, from the side of whoever puts it together."""

    migrations: Sequence[Migrations] = ()
    """What its store consists of; empty: it has none."""
    routes: Routes = _no_routes
    subscriptions: Subscriptions = _no_subscriptions
    tasks: Tasks = _no_tasks
    """Run by the roles that hear."""


@dataclass(frozen=True)
class Attached:
    """What the roles of a process brought."""

    routes: Mapping[str, Sequence[HTTPRouteHandler]]
    """Module → its routes, for those that answer here."""
    chores: Sequence[Chore]
    """What is to be forgotten in the stores that this process writes."""
    tasks: Mapping[str, Run]
    """Name → what the modules do by themselves, to be started."""
    uses_transport: bool
    """Whether anything here speaks or listens."""


async def open_stores(ground: Ground, roles: Sequence[Role]) -> None:
    """Open the store of every role that has one.  Raises as ``Database.open``."""
    for role in roles:
        module = MODULES[role.module]
        if module.migrations:
            await ground.open_store(role.module, module.migrations)


async def attach(ground: Ground, roles: Sequence[Role]) -> Attached:
    """Attach what these roles hear, and the outboxes they write, to the transport.

    Their stores are open.  Raises what opening the resources raises.
    """
    answering = list(dict.fromkeys(role.module for role in roles if role.answers))
    hearing = list(dict.fromkeys(role.module for role in roles if role.hears))
    relaying = list(dict.fromkeys(role.module for role in roles if role.relays))
    routes = {name: await MODULES[name].routes(ground) for name in answering}
    for name in hearing:
        for subscription in await MODULES[name].subscriptions(ground):
            ground.transport.subscribe(subscription)
    for name in relaying:
        ground.transport.relay(ground.stores[name])
    tasks = {task: run for name in hearing for task, run in MODULES[name].tasks(ground).items()}
    return Attached(routes, _chores(ground, relaying), tasks, bool(hearing or relaying))


def _chores(ground: Ground, written: Sequence[str]) -> Sequence[Chore]:
    stores, progress_days = ground.stores, ground.settings.results.progress_days
    replays = [stores[name] for name in (STORE_NAME,) if name in stores]
    chores = list(chores_of([stores[name] for name in written], replays))
    if "bos" in written:
        chores.append(Chore(stores["bos"], bos.purge_answers, KEEP_ANSWERS))
    if "results" in written and progress_days:
        keep = timedelta(days=progress_days)
        chores.append(Chore(stores["results"], results.purge_progress, keep))
    return chores


async def _bos_routes(ground: Ground) -> Sequence[HTTPRouteHandler]:
    texts = await ground.texts("bos")
    return bos.routes(
        ground.stores["bos"], ground.platform, ground.settings, ground.courses(), texts
    )


async def _bos_subscriptions(ground: Ground) -> Sequence[Subscription]:
    references = await ground.references()
    return bos.subscriptions(ground.stores["bos"], ground.platform, ground.settings, references)


def _bos_tasks(ground: Ground) -> Mapping[str, Run]:
    store, platform, settings = ground.stores["bos"], ground.platform, ground.settings
    return {"stalled batches": lambda: bos.watch_for_stalls(store, platform, settings)}


async def _els_routes(ground: Ground) -> Sequence[HTTPRouteHandler]:
    return els.routes(ground.stores["els"])


async def _els_subscriptions(ground: Ground) -> Sequence[Subscription]:
    return els.subscriptions(ground.stores["els"], ground.platform, ground.settings.els)


def _els_tasks(ground: Ground) -> Mapping[str, Run]:
    store, platform, settings = ground.stores["els"], ground.platform, ground.settings.els

    def hears() -> bool:
        return ground.transport.hears(settings.consumer_group or "")

    return {"deadlines": lambda: els.keep_deadlines(store, platform, settings, hears)}


async def _content_routes(ground: Ground) -> Sequence[HTTPRouteHandler]:
    texts = await ground.texts("content")
    return content.routes(texts, ground.role_secret(), ground.settings.limits)


async def _files_routes(ground: Ground) -> Sequence[HTTPRouteHandler]:
    return files.routes(
        ground.stores["files"],
        ground.platform,
        ground.settings.files,
        ground.settings.limits,
        await ground.texts("files"),
        await ground.extractor(),
    )


async def _files_subscriptions(ground: Ground) -> Sequence[Subscription]:
    return files.subscriptions(ground.stores["files"], ground.platform, ground.settings.files)


async def _results_routes(ground: Ground) -> Sequence[HTTPRouteHandler]:
    return results.routes(
        ground.stores["results"],
        ground.platform,
        ground.settings.results,
        await ground.texts("results"),
        ground.stopping,
        ground.accepted_actions(),
    )


async def _results_subscriptions(ground: Ground) -> Sequence[Subscription]:
    return results.subscriptions(ground.stores["results"], ground.platform, ground.settings.results)


async def _spellcheck_subscriptions(ground: Ground) -> Sequence[Subscription]:
    checkers = await ground.checker_pool()
    return spellcheck_handlers.subscriptions(
        ground.transport,
        checkers,
        await ground.texts("spellcheck"),
        ground.platform,
        ground.settings.spellcheck,
        checkers.workers,
        await ground.cancellations(),
    )


MODULES: Mapping[str, Module] = MappingProxyType(
    {
        "bos": Module(bos.MIGRATIONS, _bos_routes, _bos_subscriptions, _bos_tasks),
        "els": Module(els.MIGRATIONS, _els_routes, _els_subscriptions, _els_tasks),
        "content": Module(content.MIGRATIONS, _content_routes),
        "files": Module(files.MIGRATIONS, _files_routes, _files_subscriptions),
        "results": Module(results.MIGRATIONS, _results_routes, _results_subscriptions),
        "spellcheck": Module(subscriptions=_spellcheck_subscriptions),
    }
)
"""The name of a module, which is also its section of the settings and its store's → the module."""
