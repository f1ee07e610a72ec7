"""The composition root: the only place that knows every module and picks the transport."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio

from huleedu import bos, content, els, results
from huleedu.core.background import BackgroundTasks
from huleedu.core.courses import load_courses
from huleedu.core.enums import Language
from huleedu.core.errors import StoreUnavailable
from huleedu.core.logging import create_service_logger
from huleedu.core.platform import Platform
from huleedu.core.settings import ModuleSettings, Settings
from huleedu.files import handlers as files_handlers
from huleedu.files import http as files_http
from huleedu.files import store as files_store
from huleedu.files.extraction.limits import ExtractionLimits
from huleedu.files.sandbox import ExtractInChild
from huleedu.spellcheck import handlers as spellcheck_handlers
from huleedu.spellcheck.pool import CheckerPool
from huleedu.spellcheck.word_index import Progress
from huleedu.store.database import Database
from huleedu.store.directory import locked, role_secret
from huleedu.store.housekeeping import Chore, chores_of, keep_house
from huleedu.store.migrations import Migrations
from huleedu.transport.dead_letters import dead_letter_migrations
from huleedu.transport.memory import MemoryTransport
from huleedu.transport.protocol import Transport
from huleedu.web.application import Application, build_application
from huleedu.web.server import serve

KEEP_ANSWERS = timedelta(days=30)
"""How long a registration may be repeated with its Idempotency-Key."""

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
    courses = load_courses(settings.courses_file)
    async with AsyncExitStack() as stack:
        stack.enter_context(locked(settings.data_dir))
        stores = await _open_stores(settings, platform, stack)
        checkers = await stack.enter_async_context(
            CheckerPool(
                languages,
                workers=settings.spellcheck.processes or None,
                text_timeout_seconds=settings.spellcheck.essay_seconds,
                progress=progress,
            )
        )
        extractor = await stack.enter_async_context(
            ExtractInChild(
                ExtractionLimits(text_bytes_max=settings.limits.text_bytes),
                children_max=settings.files.extraction_processes,
                seconds_max=settings.files.extraction_seconds,
            )
        )
        texts = content.LocalContent(stores["content"], platform, settings.limits)
        transport = _transport(settings, platform, stores, checkers, texts)
        tasks = await stack.enter_async_context(BackgroundTasks(on_death=stopping.set))

        async def readiness() -> Sequence[str]:
            return [*tasks.troubles(), *transport.troubles(), *await _store_troubles(stores)]

        secret = settings.role_secret or role_secret(settings.data_dir)
        routes = [
            *bos.routes(stores["bos"], platform, settings, courses, texts),
            *els.routes(stores["els"]),
            *content.routes(texts, secret, settings.limits),
            *files_http.routes(
                stores["files"], platform, settings.files, settings.limits, texts, extractor
            ),
            *results.routes(stores["results"], platform, settings.results, texts, stopping),
        ]
        application = build_application(
            routes, platform=platform, limits=settings.limits, readiness=readiness
        )
        tasks.start("transport", transport.run)
        tasks.start("housekeeping", lambda: keep_house(_chores(stores), platform))
        tasks.start("spell-checker", lambda: _stay_loaded(checkers))
        yield Running(application, stores, transport, checkers, tasks, stopping)


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


async def _open_stores(
    settings: Settings, platform: Platform, stack: AsyncExitStack
) -> Mapping[str, Database]:
    modules: dict[str, tuple[ModuleSettings | None, Sequence[Migrations]]] = {
        "bos": (settings.bos, bos.MIGRATIONS),
        "els": (settings.els, els.MIGRATIONS),
        "content": (settings.content, content.MIGRATIONS),
        "files": (settings.files, files_store.MIGRATIONS),
        "results": (settings.results, results.MIGRATIONS),
        "dead_letters": (None, (dead_letter_migrations,)),
    }
    stores: dict[str, Database] = {}
    for name, (module, migrations) in modules.items():
        own_path = module.database_path if module is not None else None
        store = Database(_path(settings, name, own_path), migrations, platform.hops)
        await store.open()
        stack.push_async_callback(store.close)
        stores[name] = store
    return stores


def _path(settings: Settings, name: str, own_path: Path | None) -> Path:
    return own_path if own_path is not None else settings.data_dir / f"{name}.db"


def _with_outbox(stores: Mapping[str, Database]) -> Sequence[Database]:
    return [stores[name] for name in ("bos", "els", "files", "results")]


def _chores(stores: Mapping[str, Database]) -> Sequence[Chore]:
    answers = Chore(stores["bos"], bos.purge_answers, KEEP_ANSWERS)
    return [*chores_of(_with_outbox(stores)), answers]


def _transport(
    settings: Settings,
    platform: Platform,
    stores: Mapping[str, Database],
    checkers: CheckerPool,
    texts: content.LocalContent,
) -> MemoryTransport:
    transport = MemoryTransport(platform, stores["dead_letters"])
    for subscription in (
        *bos.subscriptions(stores["bos"], platform, settings, els.LocalReferences(stores["els"])),
        *els.subscriptions(stores["els"], platform, settings.els),
        *files_handlers.subscriptions(stores["files"], platform, settings.files),
        *results.subscriptions(stores["results"], platform, settings.results),
        *spellcheck_handlers.subscriptions(
            transport, checkers, texts, platform, settings.spellcheck, checkers.workers
        ),
    ):
        transport.subscribe(subscription)
    for store in _with_outbox(stores):
        transport.relay(store)
    return transport


async def _store_troubles(stores: Mapping[str, Database]) -> Sequence[str]:
    troubles: list[str] = []
    for store in stores.values():
        try:
            await store.write(lambda _connection: None)
        except StoreUnavailable as fault:
            troubles.append(str(fault))
    return troubles


async def _stay_loaded(checkers: CheckerPool) -> None:
    await checkers.started()
    _logger.info("spell_checker_ready", workers=checkers.workers)
    await anyio.sleep_forever()
