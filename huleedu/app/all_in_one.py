"""Every module in one process, over the memory bus, on one port."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio

from huleedu.app.ground import Ground
from huleedu.app.modules import attach, open_stores
from huleedu.app.readiness import readiness_of
from huleedu.core.background import BackgroundTasks
from huleedu.core.enums import Language
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.core.roles import ROLES
from huleedu.core.settings import Settings
from huleedu.spellcheck.pool import CheckerPool
from huleedu.spellcheck.word_index import Progress
from huleedu.store.database import Database
from huleedu.store.directory import locked
from huleedu.store.housekeeping import keep_house
from huleedu.transport.dead_letters import (
    DEAD_LETTER_MIGRATIONS,
    STORE_NAME,
    dead_letter_chores,
)
from huleedu.transport.memory import MemoryTransport
from huleedu.transport.protocol import Transport
from huleedu.web.application import Application, build_application
from huleedu.web.hosts import allowed_hosts
from huleedu.web.server import serve

_logger = create_service_logger("app")


@dataclass(frozen=True)
class Running:
    """A program that is up: what answers requests, and what it stands on."""

    application: Application
    stores: Mapping[str, Database]
    transport: Transport
    checkers: CheckerPool
    tasks: BackgroundTasks
    stopping: anyio.Event


@asynccontextmanager
async def all_in_one(
    settings: Settings,
    *,
    stopping: anyio.Event | None = None,
    languages: Sequence[Language] = tuple(Language),
    progress: Progress | None = None,
) -> AsyncIterator[Running]:
    """Run every module in this process over the memory bus, until the block is left.

    ``stopping`` is set when a background task dies, and tells open streams to end.
    Raises ``Misconfigured`` when the data directory is in use, the courses cannot be read or the
    stores are of a newer version; ``StoreUnavailable`` when the directory cannot be written to.
    """
    stopping = stopping or anyio.Event()
    platform = Platform()
    roles = [role for role in ROLES.values() if role.module]
    async with AsyncExitStack() as stack:
        ground = Ground(settings, platform, stack, stopping, languages=languages, progress=progress)
        ground.courses()  # refused before anything is made
        stack.enter_context(locked(settings.data_dir))
        await open_stores(ground, roles)
        dead_letters = await ground.open_store(STORE_NAME, DEAD_LETTER_MIGRATIONS)
        checkers = await ground.checker_pool()
        transport = ground.transport = MemoryTransport(platform, dead_letters)
        attached = await attach(ground, roles)
        chores = [*attached.chores, *dead_letter_chores(dead_letters)]
        tasks = await stack.enter_async_context(BackgroundTasks(on_death=stopping.set))
        application = build_application(
            [route for routes in attached.routes.values() for route in routes],
            platform=platform,
            limits=settings.limits,
            hosts=allowed_hosts(settings),
            readiness=readiness_of(tasks, transport, ground.stores),
            held_up=transport.held_up,
        )
        tasks.start("transport", transport.run)
        tasks.start("housekeeping", lambda: keep_house(chores, platform))
        for name, run in attached.tasks.items():
            tasks.start(name, run)
        tasks.start("spell-checker", lambda: stay_loaded(checkers))
        yield Running(application, ground.stores, transport, checkers, tasks, stopping)


async def serve_all_in_one(
    settings: Settings, stop: anyio.Event, progress: Progress | None = None
) -> None:
    """Serve every route on one port until ``stop`` is set, then finish the work in hand.

    Raises what :func:`all_in_one` raises, ``Misconfigured`` when the port is taken, and
    ``TaskDied`` when a background task died.
    """
    async with all_in_one(settings, stopping=stop, progress=progress) as running:
        await serve(
            running.application,
            host=settings.host,
            port=settings.port,
            stop=stop,
            stop_seconds=settings.stop_seconds,
            on_listening=lambda port: _logger.info(
                "listening", url=f"http://{settings.host}:{port}", data_dir=str(settings.data_dir)
            ),
        )
        _logger.info("stopping")
        # A task that died ends the program with its own error, not with a good exit code.
        if running.tasks.troubles():
            await anyio.sleep_forever()
    _logger.info("stopped")


async def stay_loaded(checkers: CheckerPool) -> None:
    """Tell when the spell-checker's worker processes are ready, and stay.  Never returns."""
    await checkers.started()
    _logger.info("spell_checker_ready", workers=checkers.workers)
    await anyio.sleep_forever()
