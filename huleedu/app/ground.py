"""What the modules of one process stand on: opened when asked for, closed with the process."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import anyio
import httpx

from huleedu import bos, content, els, files
from huleedu.core.courses import load_courses
from huleedu.core.enums import Language
from huleedu.core.errors import Misconfigured
from huleedu.core.platform import Platform
from huleedu.core.ports import AcceptedActions, Cancellations, ContentClient, EssayReferences
from huleedu.core.settings import ModuleSettings, Settings
from huleedu.spellcheck.pool import CheckerPool
from huleedu.spellcheck.word_index import Progress
from huleedu.store.database import Database
from huleedu.store.directory import SECRET_NAME, role_secret
from huleedu.store.migrations import Migrations
from huleedu.transport.protocol import Transport
from huleedu.web.peer import peer_http

_THIS_HOST = frozenset({"localhost", "127.0.0.1", "::1"})


class Ground:
    """Stores, clients of other roles, and worker processes of one process; each made once."""

    def __init__(
        self,
        settings: Settings,
        platform: Platform,
        stack: AsyncExitStack,
        stopping: anyio.Event,
        *,
        languages: Sequence[Language] = tuple(Language),
        progress: Progress | None = None,
    ) -> None:
        """What is opened is closed by ``stack``; ``stopping`` tells open streams to end."""
        self.settings = settings
        self.platform = platform
        self.stopping = stopping
        self.stores: dict[str, Database] = {}
        """Module → its store, for the modules of this process that have one."""
        self.checkers: CheckerPool | None = None
        self._transport: Transport | None = None
        self._languages = languages
        self._progress = progress
        self._stack = stack
        self._http: httpx.AsyncClient | None = None

    @property
    def transport(self) -> Transport:
        """By which the modules speak and listen."""
        assert self._transport is not None, "the transport comes before what speaks by it"
        return self._transport

    @transport.setter
    def transport(self, transport: Transport) -> None:
        self._transport = transport

    async def open_store(self, name: str, migrations: Sequence[Migrations]) -> Database:
        """Return the store of a module, open.  Raises as ``Database.open``."""
        if name not in self.stores:
            own: ModuleSettings | None = getattr(self.settings, name, None)
            path = own.database_path if own is not None else None
            path = path or self.settings.data_dir / f"{name}.db"
            store = Database(
                path,
                migrations,
                self.platform.hops,
                cache_mebibytes=self.settings.store_cache_mebibytes,
            )
            await store.open()
            self._stack.push_async_callback(store.close)
            self.stores[name] = store
        return self.stores[name]

    def courses(self) -> Mapping[str, Language]:
        """Return course → language.  Raises ``Misconfigured``."""
        return load_courses(self.settings.courses_file)

    def role_secret(self) -> str:
        """Return what the roles of this deployment show one another.

        Raises ``StoreUnavailable`` when it is to be kept in the data directory and cannot.
        """
        return self.settings.role_secret or role_secret(self.settings.data_dir)

    async def texts(self, module: str) -> ContentClient:
        """Return the content store for a module: in this process where it runs here, else by HTTP.

        Raises ``Misconfigured`` when that is on another host and there is no secret to show it.
        """
        if "content" in self.stores:
            return content.LocalContent(self.stores["content"], self.platform, self.settings.limits)
        url = _own(self.settings, module).content_service_url or self.settings.content_service_url
        return content.RemoteContent(
            await self._peer_http(),
            self.platform,
            url=url,
            role_secret=self._secret_for(url),
            limits=self.settings.limits,
        )

    async def references(self) -> EssayReferences:
        """Return who knows where the texts of a batch are: ELS, here or by HTTP."""
        if "els" in self.stores:
            return els.LocalReferences(self.stores["els"])
        url = self.settings.bos.essay_lifecycle_service_url
        return els.RemoteReferences(
            await self._peer_http(),
            self.platform,
            url=url or self.settings.essay_lifecycle_service_url,
        )

    async def cancellations(self) -> Cancellations:
        """Return who knows which batches are cancelled: ELS, here or by HTTP."""
        if "els" in self.stores:
            return els.LocalCancellations(self.stores["els"])
        url = self.settings.essay_lifecycle_service_url
        return els.RemoteCancellations(await self._peer_http(), self.platform, url=url)

    def accepted_actions(self) -> AcceptedActions | None:
        """Return what tells what BOS has accepted; None where BOS is in another process."""
        return bos.LocalAccepted(self.stores["bos"]) if "bos" in self.stores else None

    async def checker_pool(self) -> CheckerPool:
        """Return the worker processes that check texts; they load beside everything else."""
        if self.checkers is None:
            pool = CheckerPool(
                self._languages,
                workers=self.settings.spellcheck.processes or None,
                text_timeout_seconds=self.settings.spellcheck.essay_seconds,
                progress=self._progress,
            )
            self.checkers = await self._stack.enter_async_context(pool)
        return self.checkers

    async def extractor(self) -> files.ExtractInChild:
        """Return the child processes that take the text out of a file."""
        return await self._stack.enter_async_context(
            files.ExtractInChild(
                files.ExtractionLimits(text_bytes_max=self.settings.limits.text_bytes),
                children_max=self.settings.files.extraction_processes,
                seconds_max=self.settings.files.extraction_seconds,
            )
        )

    async def _peer_http(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = await self._stack.enter_async_context(peer_http())
        return self._http

    def _secret_for(self, url: str) -> str:
        # Roles on one host make the secret in their data directory, whoever comes first; one made
        # here would not be the one of a store elsewhere.
        elsewhere = urlsplit(url).hostname not in _THIS_HOST
        kept = self.settings.data_dir / SECRET_NAME
        if not self.settings.role_secret and elsewhere and not kept.exists():
            raise Misconfigured(
                f"the content store is at {url}, and there is no role secret to show it: set "
                "HULEEDU_ROLE_SECRET (role_secret) to the same value in every role"
            )
        return self.role_secret()


def _own(settings: Settings, module: str) -> ModuleSettings:
    own: ModuleSettings = getattr(settings, module)
    return own
