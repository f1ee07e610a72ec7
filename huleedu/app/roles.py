"""Roles in processes of their own, over a transport between them."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import anyio

from huleedu.app.all_in_one import stay_loaded
from huleedu.app.ground import Ground
from huleedu.app.kafka import kafka_transport, make_topics
from huleedu.app.listening import Listener, serve_all
from huleedu.app.modules import MODULES, attach, open_stores
from huleedu.app.readiness import readiness_of
from huleedu.core.background import BackgroundTasks
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.core.roles import ROLES, TOPICS_ROLE, Role
from huleedu.core.settings import ModuleSettings, Settings
from huleedu.spellcheck.word_index import Progress
from huleedu.store.database import Database
from huleedu.store.directory import locked
from huleedu.store.housekeeping import keep_house
from huleedu.transport.protocol import Transport
from huleedu.web.application import Application, build_application
from huleedu.web.hosts import allowed_hosts

Connect = Callable[[Settings, Sequence[Role], Platform, AsyncExitStack], Transport]
"""Makes the transport of a process that runs these roles; what it holds is closed by the stack."""

_logger = create_service_logger("app")


@dataclass(frozen=True)
class RunningRoles:
    """Roles that are up: what answers requests, and what they stand on."""

    applications: Mapping[str, Application]
    """Module → what answers its routes, and health and metrics."""
    operations: Application
    """Health and metrics alone, for a port of their own."""
    stores: Mapping[str, Database]
    tasks: BackgroundTasks


@asynccontextmanager
async def running_roles(
    settings: Settings,
    names: Sequence[str],
    *,
    connect: Connect = kafka_transport,
    stopping: anyio.Event | None = None,
    progress: Progress | None = None,
) -> AsyncIterator[RunningRoles]:
    """Run these roles, ``topics`` not among them, in this process until the block is left.

    ``stopping`` is set when a background task dies, and tells open streams to end.  Raises
    ``Misconfigured`` when a whole program holds the data directory, the settings do not fit the
    roles or the stores are of a newer version; ``StoreUnavailable`` when a store cannot be opened.
    """
    stopping = stopping or anyio.Event()
    platform = Platform()
    roles = [ROLES[name] for name in dict.fromkeys(names)]
    async with AsyncExitStack() as stack:
        ground = Ground(settings, platform, stack, stopping, progress=progress)
        if any(MODULES[role.module].migrations for role in roles):
            stack.enter_context(locked(settings.data_dir, shared=True))
        await open_stores(ground, roles)
        transport = ground.transport = connect(settings, roles, platform, stack)
        attached = await attach(ground, roles)
        tasks = await stack.enter_async_context(BackgroundTasks(on_death=stopping.set))
        used = transport if attached.uses_transport else None
        build = partial(
            build_application,
            platform=platform,
            limits=settings.limits,
            hosts=allowed_hosts(settings),
            readiness=readiness_of(tasks, used, ground.stores),
            held_up=None if used is None else used.held_up,
        )
        applications = {module: build(routes) for module, routes in attached.routes.items()}
        operations = build([])
        if used is not None:
            tasks.start("transport", used.run)
        if attached.chores:
            tasks.start("housekeeping", lambda: keep_house(attached.chores, platform))
        for name, run in attached.tasks.items():
            tasks.start(name, run)
        if (checkers := ground.checkers) is not None:
            tasks.start("spell-checker", lambda: stay_loaded(checkers))
        _logger.info("role_started", roles=[role.name for role in roles])
        yield RunningRoles(applications, operations, ground.stores, tasks)


async def serve_roles(
    settings: Settings,
    names: Sequence[str],
    stop: anyio.Event,
    progress: Progress | None = None,
    *,
    connect: Connect = kafka_transport,
) -> None:
    """Run these roles until ``stop`` is set, then finish the work in hand.

    The role ``topics`` makes the topics before the others start, and alone is done then.  Each
    module that answers does so on its own port; where PROMETHEUS_PORT is set, that one answers
    health and metrics.  Raises what :func:`running_roles` raises, ``BrokerUnavailable`` when no
    topics can be made, ``Misconfigured`` when a port is taken, and ``TaskDied`` when a background
    task died.
    """
    if TOPICS_ROLE in names:
        await make_topics(settings, stop)
        names = [name for name in names if name != TOPICS_ROLE]
        if not names:
            return
    async with running_roles(
        settings, names, connect=connect, stopping=stop, progress=progress
    ) as running:
        await serve_all(_listeners(settings, names, running), stop, settings.stop_seconds)
        await stop.wait()
        _logger.info("stopping")
        # A task that died ends the program with its own error, not with a good exit code.
        if running.tasks.troubles():
            await anyio.sleep_forever()
    _logger.info("stopped")


def _listeners(
    settings: Settings, names: Sequence[str], running: RunningRoles
) -> Sequence[Listener]:
    listeners = []
    for module, application in running.applications.items():
        own = own_settings(settings, module)
        assert own.http_port is not None, f"{module} has routes, and so a port"
        host = own.http_host or settings.host
        listeners.append(Listener("listening", host, own.http_port, application, module))
    measured: dict[int, Listener] = {}
    for name in names:
        own = own_settings(settings, ROLES[name].module)
        port = own.prometheus_port if own.prometheus_port is not None else settings.prometheus_port
        if port is not None:
            host = own.http_host or settings.host
            measured[port] = Listener("metrics_listening", host, port, running.operations)
    return [*listeners, *measured.values()]


def own_settings(settings: Settings, module: str) -> ModuleSettings:
    """Return a module's own section of the settings."""
    own: ModuleSettings = getattr(settings, module)
    return own
