"""What a simulated process finds around it: stores, texts of another role, a checker."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Protocol

import anyio

from huleedu.app.ground import Ground
from huleedu.core.courses import load_courses
from huleedu.core.enums import Language
from huleedu.core.errors import PeerUnavailable
from huleedu.core.ids import StorageId
from huleedu.core.messages import EssayProcessingInputRefV1
from huleedu.core.platform import Platform
from huleedu.core.ports import Cancellations, ContentClient, EssayReferences
from huleedu.core.settings import Settings
from huleedu.els import LocalCancellations
from huleedu.spellcheck.errors import CheckFailed
from huleedu.spellcheck.model import CheckedText, Correction, Kind
from huleedu.store.database import Database
from huleedu.store.migrations import Migrations
from tests.simulation.stores import Owner, SimulatedDatabase

UNCHECKABLE = "uncheckable"
"""A text with this word makes the checker fail, whenever it is asked."""
MOODY = "moody"
"""One with this word makes it fail every now and then."""
SLOW = "slow"
"""One with this word may take it long."""
SLOW_SECONDS_MAX = 3.5
MISSPELT, CORRECT = "teh", "the"


class TrivialChecker:
    """Knows one misspelling."""

    workers = 2

    def __init__(self, random: Random, network: "Network") -> None:
        self._random = random
        self._network = network

    async def check(self, text: str, language: Language) -> CheckedText:
        await anyio.lowlevel.checkpoint()
        if SLOW in text:
            await anyio.sleep(self._random.random() * SLOW_SECONDS_MAX)
        await self._network.checked()
        if UNCHECKABLE in text or (MOODY in text and self._random.random() < 0.5):
            raise CheckFailed("the simulated checker cannot check this text")
        place = text.find(MISSPELT)
        if place < 0:
            return CheckedText(corrected=text, corrections=())
        correction = Correction(
            offset=place,
            length=len(MISSPELT),
            original=MISSPELT,
            correction=CORRECT,
            alternatives=(CORRECT,),
            confidence=1.0,
            kind=Kind.MISSPELLING,
        )
        corrected = text[:place] + CORRECT + text[place + len(MISSPELT) :]
        return CheckedText(corrected=corrected, corrections=(correction,))


class PlainExtractor:
    """Every file is a plain text."""

    async def __call__(self, _name: str, content: bytes) -> str:
        await anyio.lowlevel.checkpoint()
        return content.decode()


class Network(Protocol):
    """Calls from one process to another."""

    async def call(self, module: str, ask: Callable[[Any], Any]) -> Any:
        """Return what the module's process answers.  Raises ``PeerUnavailable``."""
        ...

    def asked(self, references: EssayReferences) -> EssayReferences:
        """Return ELS as it answers in this world."""
        ...

    async def checked(self) -> None:
        """Hear that a text is checked, and nobody knows yet; does not return from a crash."""
        ...

    def reading(self, storage_id: StorageId) -> None:
        """Hear which text is about to be read."""
        ...

    def is_content_away(self) -> bool:
        """Tell whether the content store does not answer now."""
        ...


class SimulatedContent:
    """The texts: in this process, or over the network in another, which may be away."""

    def __init__(self, network: Network, local: ContentClient | None) -> None:
        self._network = network
        self._local = local

    async def put(self, content: bytes) -> StorageId:
        return await self._ask(lambda store: store.put(content))  # type: ignore[no-any-return]

    async def get(self, storage_id: StorageId) -> bytes:
        self._network.reading(storage_id)
        return await self._ask(lambda store: store.get(storage_id))  # type: ignore[no-any-return]

    async def _ask(self, ask: Callable[[Any], Any]) -> Any:
        if self._network.is_content_away():
            raise PeerUnavailable("the content store does not answer")
        if self._local is not None:
            return await ask(self._local)
        return await self._network.call("content", ask)


class RemoteReferences:
    """ELS, asked over the network."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def of_batch(self, batch_id: str) -> Sequence[EssayProcessingInputRefV1]:
        found: Sequence[EssayProcessingInputRefV1] = await self._network.call(
            "els", lambda references: references.of_batch(batch_id)
        )
        return found


class RemoteCancellations:
    """Which batches are cancelled, asked of ELS over the network."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def is_cancelled(self, batch_id: str) -> bool:
        """As ``core.ports.Cancellations``."""
        found: bool = await self._network.call(
            "els", lambda els: LocalCancellations(els._database).is_cancelled(batch_id)
        )
        return found


class SimulatedGround(Ground):
    """The real composition's ground, with simulated things where it would reach outside."""

    def __init__(
        self,
        settings: Settings,
        platform: Platform,
        stack: AsyncExitStack,
        stopping: anyio.Event,
        owner: Owner,
        network: Network,
        directory: Path,
    ) -> None:
        super().__init__(settings, platform, stack, stopping)
        self._owner = owner
        self._network = network
        self._directory = directory
        self._exits = stack

    async def open_store(self, name: str, _migrations: Sequence[Migrations]) -> Database:
        if name not in self.stores:
            path = self._directory / f"{name}.db"
            store = SimulatedDatabase(path, self.platform.hops, self._owner)
            await store.open()
            self._exits.push_async_callback(store.close)
            self.stores[name] = store
        return self.stores[name]

    def courses(self) -> Mapping[str, Language]:
        return _courses()

    async def texts(self, module: str) -> ContentClient:
        local = await super().texts(module) if "content" in self.stores else None
        return local if module == "content" and local else SimulatedContent(self._network, local)

    async def references(self) -> EssayReferences:
        local = await super().references() if "els" in self.stores else None
        return self._network.asked(local or RemoteReferences(self._network))

    async def cancellations(self) -> Cancellations:
        if "els" in self.stores:
            return await super().cancellations()
        return RemoteCancellations(self._network)

    async def checker_pool(self) -> Any:
        return TrivialChecker(self.platform.random, self._network)

    async def extractor(self) -> Any:
        return PlainExtractor()


@cache
def _courses() -> Mapping[str, Language]:
    return load_courses(None)
